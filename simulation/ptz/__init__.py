"""Simulated pan-tilt heads, one driver per file."""
