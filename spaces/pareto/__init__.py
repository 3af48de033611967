"""The Pareto front of quality against trainable parameters, and the rules that compare its points."""
