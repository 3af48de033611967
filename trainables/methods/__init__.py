"""The tuner of every method, in a file or folder of its name; `_name.py` is shared by a family."""
