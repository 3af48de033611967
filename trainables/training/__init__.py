"""One training: its set-up, loop, evaluation, and what a worker keeps for the next."""
