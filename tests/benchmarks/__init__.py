"""Tests of the benchmarks: that they measure what they say, and can be run at all."""
