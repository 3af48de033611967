"""Pictures, pages and tables of a search."""
