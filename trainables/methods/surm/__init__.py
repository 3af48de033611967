"""Structured unrestricted-rank matrices (SURM, arXiv 2406.17740)."""
