"""The spec of a search, its budget and space, methods with exact counts, and Pareto fronts. Imports no torch."""
