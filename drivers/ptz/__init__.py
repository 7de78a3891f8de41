"""Pan-tilt heads: one driver per file."""
