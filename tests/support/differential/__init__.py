"""The differential machine: random programs, played eagerly and compiled, and what differs."""
