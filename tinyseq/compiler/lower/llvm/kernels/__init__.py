"""Stages as functions in LLVM IR, a file each family; kernels of products, shared by all plans."""
