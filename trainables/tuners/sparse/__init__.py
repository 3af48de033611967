"""Tuners that change some entries of a module's parameters."""
