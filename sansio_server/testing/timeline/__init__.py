"""What happened in a world, moment by moment, and how that is shown: as text, and as a page."""
