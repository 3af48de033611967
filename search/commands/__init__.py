"""What the commands do; `search.cli` says how they are called."""
