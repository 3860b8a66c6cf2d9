"""Lowerings: from a plan to something that runs. Each is imported when a target that binds by it is first used."""
