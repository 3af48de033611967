"""The targets of examples, read from the columns of their labels."""
