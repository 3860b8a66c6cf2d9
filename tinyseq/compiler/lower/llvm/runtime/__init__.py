"""The machine at hand: its machine code, loaded, and kept on disk."""
