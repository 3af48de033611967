"""Structured matrices as plain functions: no model in sight."""
