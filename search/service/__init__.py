"""The service: searches of a team on one Ray cluster, over HTTP."""
