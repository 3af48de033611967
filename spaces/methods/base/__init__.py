"""Base classes of methods: configuration, knobs, and counts of parameters."""
