"""The folder of a search, and checks of where it is kept."""
