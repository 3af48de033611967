"""The Ray cluster: an address, a connection, a watch on its head."""
