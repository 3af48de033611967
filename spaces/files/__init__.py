"""Files that survive a killed process: lock files, scratch folders."""
