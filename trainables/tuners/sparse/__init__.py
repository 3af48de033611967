"""Tuners that change some entries of a weight."""
