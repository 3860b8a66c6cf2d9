"""The LLVM lowering: a plan's instructions, whole loops among them, as native functions. See docs/llvm.md.

plan -> ../describe.py (each instruction as stages) -> ../grouping.py (stages that run as one) -> schedule/ (where
products are best done) -> kernels/, ir/ (their IR) -> segments.py (functions that threads share) -> runtime/ (machine
code, kept on disk) -> executable.py, thread_pool.py.
"""

from tinyseq.compiler.lower.llvm.executable import Executable

__all__ = ["Executable"]
