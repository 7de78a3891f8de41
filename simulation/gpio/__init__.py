"""Simulated pins, one driver per file."""
