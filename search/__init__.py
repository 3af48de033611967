"""Runs many trials: Ray Tune and Optuna, stopping, resume, confirm, and the command line."""
