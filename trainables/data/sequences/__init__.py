"""Inputs that are more than one text."""
