"""Progress of long work."""

from collections.abc import Callable
from typing import TypeAlias

ProgressCallback: TypeAlias = Callable[[int, int], None]
"""Called with the amount done and the total, in bytes or items."""


def no_progress(_done: int, _total: int) -> None:
    """Ignore the progress."""
