"""The search specification: its fields, its checks, its messages, its JSON schema."""
