"""The model card of an export, and the code that it shows."""
