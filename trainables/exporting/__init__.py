"""Exports: an adapter or a whole model in a folder that stands alone."""
