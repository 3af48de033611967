"""`make demo`: a small search from data to an exported adapter."""
