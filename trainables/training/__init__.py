"""One training: its set-up, its loop, its evaluation."""
