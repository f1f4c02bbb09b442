"""Handlers and servers with a fault, each with a twin that has none.

None of the faults shows to a client that comes alone, sends all at once and waits for its reply.
"""
