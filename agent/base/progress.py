"""Progress of long work."""

from collections.abc import Callable
from typing import TypeAlias

from agent.base.message import Message

ProgressCallback: TypeAlias = Callable[[int, int], None]
"""Called with the amount done and the total, in bytes or items."""


def no_progress(_done: int, _total: int) -> None:
    """Ignore the progress."""


def describe_progress(activity: Message, done: int, total: int) -> Message:
    """Return an activity and its percentage, such as `downloading 42 %`."""
    percent = done * 100 // max(1, total)
    return Message("{activity} {percent} %", activity=activity, percent=percent)
