"""Who moves next, what time it is, and who can be reached: a world without sockets."""
