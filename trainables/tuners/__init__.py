"""Base classes of our PEFT tuners, and `Adapter`, the interface of a method."""
