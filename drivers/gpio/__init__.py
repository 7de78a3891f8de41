"""Pins: one driver per file."""
