"""The JSON documents of the commands and of the service."""
