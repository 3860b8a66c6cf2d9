"""The CUDA lowering. Everything up to the launches is text and numbers, made and tested without a device."""

from tinyseq.compiler.lower.cupy.executable import Executable

__all__ = ["Executable"]
