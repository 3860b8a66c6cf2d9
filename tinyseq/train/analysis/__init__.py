"""What is told about a model and a run: gradient flow, pictures, the report, dry runs and replays."""
