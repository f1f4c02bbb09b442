"""Servers on real sockets, on loopback: for tests by hand, and for scripts."""
