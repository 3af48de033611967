"""Adapters on a model: attached, loaded from a folder, verified."""
