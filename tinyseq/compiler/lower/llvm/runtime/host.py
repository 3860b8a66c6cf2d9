"""The machine at hand: its vectors, and machine code for it."""

from __future__ import annotations

import ctypes
import functools
import platform
from dataclasses import dataclass
from typing import Any


@functools.cache
def binding() -> Any:
    """Return llvmlite's binding, its native target ready."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm


@dataclass(frozen=True)
class Host:
    """What code is generated for: processor, features, bytes in a vector register and how many there are."""

    triple: str
    cpu: str
    features: str
    vector: int
    registers: int

    @property
    def attributes(self) -> str:
        bits = self.vector * 8
        return f'"prefer-vector-width"="{bits}" "min-legal-vector-width"="{bits}"'


@functools.cache
def host() -> Host:
    """Return the machine at hand."""
    llvm = binding()
    try:
        features = llvm.get_host_cpu_features()
        has, flags = features.get, features.flatten()
    except RuntimeError:  # LLVM cannot tell on this system; the processor's name stands for them
        has, flags = dict[str, bool]().get, ""
    machine = platform.machine().lower()
    if machine in ("arm64", "aarch64"):
        vector, registers = 16, 32
    elif has("avx512f") and has("avx512bw") and has("avx512vl") and has("avx512dq"):
        vector, registers = 64, 32
    elif has("avx2") and has("fma"):
        vector, registers = 32, 16
    else:
        vector, registers = 16, 16
    return Host(llvm.get_process_triple(), llvm.get_host_cpu_name(), flags, vector, registers)


def _machine(of: Host) -> Any:
    llvm = binding()
    target = llvm.Target.from_triple(of.triple)
    return target.create_target_machine(cpu=of.cpu, features=of.features, opt=3, codemodel="jitdefault", jit=True)


def key_of(source: str, of: Host) -> str:
    """Return all that a module's object code depends on."""
    return f"LLVM {binding().llvm_version_info}, {of}\n{source}"


def object_code(source: str, of: Host) -> bytes:
    """Compile a module's text to an object file."""
    llvm = binding()
    machine = _machine(of)
    # In a context of its own: what modules have in common is kept for as long as their context.
    module = llvm.parse_assembly(source, llvm.create_context())
    module.triple, module.data_layout = of.triple, str(machine.target_data)
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=2))
    # The few passes that this text profits from: the usual pipeline takes five times as long for the same speed.
    passes = llvm.create_new_function_pass_manager()
    passes.add_sroa_pass()
    passes.add_simplify_cfg_pass()
    passes.add_loop_rotate_pass()
    passes.add_new_gvn_pass()
    passes.add_instruction_combine_pass()
    for function in module.functions:
        if not function.is_declaration:
            passes.run(function, builder)
    code = bytes(machine.emit_object(module))
    for part in (passes, builder, module):  # analyses refer to the module, and it to its context
        part.close()
    return code


@functools.cache
def _trim() -> Any:
    """Return the C library's function that gives free memory back to the system; None where it has none."""
    return None if platform.system() != "Linux" else getattr(ctypes.CDLL(None), "malloc_trim", None)


def give_back() -> None:
    """Give the system back what compiling took: the C library keeps some 50 MB of it, more or less by chance."""
    if (trim := _trim()) is not None:
        trim(0)


class Library:
    """Object code loaded into the process."""

    def __init__(self, code: bytes, of: Host) -> None:
        llvm = binding()
        self.engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine(of))
        self.engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        self.engine.finalize_object()

    def publish(self, name: str) -> None:
        """Let libraries that are loaded later call one of this one's functions."""
        binding().add_symbol(name, self.engine.get_function_address(name))

    def function(self, name: str, *arguments: Any) -> Any:
        """Return an exported function of no result, called with the GIL released; it keeps its code loaded."""
        made: Any = ctypes.CFUNCTYPE(None, *arguments)(self.engine.get_function_address(name))
        made.library = self
        return made
