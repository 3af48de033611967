"""Dispatch of searches: queue, start, stop, resume."""
