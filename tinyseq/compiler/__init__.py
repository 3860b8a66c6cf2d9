"""From a function to a graph, from a graph to a plan, from a plan to calls."""

from tinyseq.compiler.function import CompiledFunction, compile
from tinyseq.compiler.trace import trace

__all__ = ["CompiledFunction", "compile", "trace"]
