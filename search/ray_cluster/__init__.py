"""The Ray cluster: check an address, connect, watch the head."""
