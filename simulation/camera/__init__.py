"""Simulated cameras, one driver per file."""
