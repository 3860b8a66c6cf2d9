"""From a function to a graph, from a graph to a plan, from a plan to calls."""

from tinyseq.compiler.capture import trace
from tinyseq.compiler.function import CompiledFunction, compile

__all__ = ["CompiledFunction", "compile", "trace"]
