"""Which search runs when: queue, start, stop, resume."""
