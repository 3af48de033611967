"""Commands that the service runs for its callers, within limits."""
