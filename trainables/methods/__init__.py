"""One file a method family: the tuner, a PEFT citizen."""
