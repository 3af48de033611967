"""Adaptable models as data: their linear layers, and what an adapter may cost."""
