"""Vigie, the agent of a camera box on a street pole. ARCHITECTURE.md says how to find your way."""

from importlib.metadata import version

__version__ = version("vigie")
