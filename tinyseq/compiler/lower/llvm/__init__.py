"""The LLVM lowering: a plan's instructions, whole loops among them, as native functions. See docs/llvm.md.

plan -> describe.py (each instruction as stages) -> grouping.py (stages that run as one) -> moving.py, bundling.py
(where products are best done) -> writing.py, gemm.py (their IR) -> segments.py (functions that threads share) ->
host.py (machine code), cache.py (kept on disk) -> executable.py.
"""

from tinyseq.compiler.lower.llvm.executable import Executable

__all__ = ["Executable"]
