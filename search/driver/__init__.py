"""The driver: runs one search from its specification to its front."""
