"""Vigie, the agent of a camera box on a street pole. ARCHITECTURE.md says how to find your way."""

__version__ = "0.1.0"
