"""Recordings run through the core again, as they were and with other limits."""
