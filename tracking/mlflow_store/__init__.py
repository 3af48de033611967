"""MLflow as a store: addresses, clients, tags, runs, artifacts."""
