"""What may be searched: the spec, the budget, the layer inventory, counts and fronts. Imports no torch."""
