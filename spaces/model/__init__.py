"""Adaptable models as data: their linear layers, and counts of adapters against a budget."""
