"""The parts from which tuners are built, and the interface of a method."""
