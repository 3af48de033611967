"""The status of a search, from its files, its job and MLflow."""
