"""LLVM IR: its text, vectors, elementary functions, the ops on vectors, and how threads wait for each other in it."""
