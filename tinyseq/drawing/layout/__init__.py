"""Where each part of a view stands: boxes, lines, margins."""
