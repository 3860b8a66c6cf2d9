"""Lowering: a plan as something that runs."""
