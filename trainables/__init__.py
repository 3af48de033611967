"""Trains one configuration: methods in torch, data, the loop, the Ray trainable; writes and verifies exports."""
