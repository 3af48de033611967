"""Inputs of causal language models beside prompts with responses: chats, plain text, and several examples in a row."""
