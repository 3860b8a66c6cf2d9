"""The LLVM lowering: a plan's instructions as native functions."""
