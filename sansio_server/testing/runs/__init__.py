"""What clients of a script do and see, what became of the whole run, and what must hold of it."""
