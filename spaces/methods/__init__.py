"""One file a method: its configuration, knobs, exact count and learning-rate prior."""
