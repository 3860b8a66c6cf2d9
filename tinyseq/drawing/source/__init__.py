"""What is drawn: the graph of a function, a recording, a pass or a gradient, and how it plays back."""
