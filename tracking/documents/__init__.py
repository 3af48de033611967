"""The JSON documents of the contract, and how they are built from runs."""
