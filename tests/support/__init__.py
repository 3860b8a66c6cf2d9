"""What tests share: cells and rows to try, stand-ins for machines, references, and ways to compare."""
