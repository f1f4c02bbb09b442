"""What a server was told and decided, in a file: how it is written and read."""
