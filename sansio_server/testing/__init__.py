"""The testing kit: servers in memory, with no socket and no wall clock."""
