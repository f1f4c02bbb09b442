"""What became of a script that was played, and what must hold of it."""
