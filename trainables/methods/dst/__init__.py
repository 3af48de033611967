"""Dynamic Subset Tuning (arXiv 2411.08610)."""
