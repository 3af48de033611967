"""Files that survive a killed process: atomic replacement, lock files, scratch folders."""
