"""The config of a run: read, checked, with every problem told at once where it stands."""
