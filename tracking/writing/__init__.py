"""Writing a search to MLflow without ever waiting for it."""
