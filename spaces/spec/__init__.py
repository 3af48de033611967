"""The spec of a search: fields, checks, error messages, JSON schema."""
