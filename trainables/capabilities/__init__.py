"""Capabilities of the methods, found by trying them on tiny models."""
