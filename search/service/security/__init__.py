"""Who may do what, how often, and with which files."""
