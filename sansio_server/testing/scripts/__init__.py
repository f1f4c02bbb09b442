"""Runs as data: what clients do and what goes wrong; made from a seed, shrunk, printed."""
