"""MLflow, without Ray and without torch: writing runs, reading fronts, fetching adapters, plots."""
