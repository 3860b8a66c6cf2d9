"""What of a graph is shown, and what stands for what is folded; no coordinates yet."""
