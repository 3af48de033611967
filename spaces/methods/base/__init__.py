"""What every method has: a configuration, knobs, a count of parameters."""
