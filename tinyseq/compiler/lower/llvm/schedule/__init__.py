"""Where and when a stage is best done: within a loop, together with others, again; and about how long it takes."""
