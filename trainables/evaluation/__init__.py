"""The quality of a model on a split: predictions, metrics of them, and their values by row."""
