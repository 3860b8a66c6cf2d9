"""The passes: pure functions graph -> graph, a file each."""
