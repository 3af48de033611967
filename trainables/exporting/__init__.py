"""Exports: an adapter in a folder that stock PEFT or transformers loads."""
