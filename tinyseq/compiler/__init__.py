"""From a function to a graph, and (to come) from a graph to a plan."""

from tinyseq.compiler.trace import trace

__all__ = ["trace"]
