"""The folder of a search, and checks of the storage that holds it."""
