"""Benchmarks: this project's servers beside their peers, measured in one run."""
