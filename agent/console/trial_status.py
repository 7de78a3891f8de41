"""What `config` may ask of the box to change its configuration: on trial, until somebody confirms it."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from agent.console.config_edit import KeyChange
from agent.console.format import format_duration


class PendingChange(msgspec.Struct, frozen=True, kw_only=True):
    """A change that is on trial: of which keys, by whom, and how long it may still be confirmed."""

    keys: str
    by: str
    remaining_s: float


def format_reminder(pending: PendingChange) -> str:
    """What is on trial, for who comes to the console meanwhile."""
    return (
        f"ON TRIAL by {pending.by}: {pending.keys}. It is undone in {format_duration(pending.remaining_s)} "
        "unless you type: config confirm"
    )


class ConfigDesk(Protocol):
    """The configuration's file. What fails raises ConsoleError, UserError or OSError."""

    def list_keys(self) -> Sequence[tuple[str, str]]:
        """The keys that may be set, each with its value."""
        ...

    def propose(self, pairs: Sequence[tuple[str, str]]) -> Sequence[KeyChange]:
        """What these keys and values would change. Nothing is changed; the whole new configuration is
        good, or UserError says why it is not.
        """
        ...

    def begin(self, changes: Sequence[KeyChange], by: str, minutes: float) -> bool:
        """Put it on trial. Whether the agent was there to be told to start anew with it."""
        ...

    def pending(self) -> PendingChange | None:
        """What is on trial now."""
        ...

    def confirm(self) -> PendingChange:
        """Keep it."""
        ...

    def undo(self) -> PendingChange:
        """Put the one before back at once, and the agent starts anew with that."""
        ...

    def undo_if_expired(self) -> str | None:
        """Undo what nobody has confirmed in time; what is to be told of it, once. Raises nothing."""
        ...
