"""The training loop: its step, its state, validation, and what stops it."""
