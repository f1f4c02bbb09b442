"""The sockets of a world."""
