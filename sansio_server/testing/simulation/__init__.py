"""Scripts played in memory: one, and a thousand."""
