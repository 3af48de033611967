"""One file a method family: its configuration, knobs, exact count and learning-rate prior."""
