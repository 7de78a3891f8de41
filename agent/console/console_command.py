"""A command of the console: its texts, its function, its receipt."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec

from agent.base.message import Message, Text
from agent.console.context import ConsoleContext
from agent.console.terminal import Terminal

CommandFunction: TypeAlias = Callable[[Terminal, ConsoleContext, Sequence[str]], None]
"""Runs a command with its arguments. Raises ConsoleError, UserError, DriverError or OSError."""


def always(_argv: Sequence[str]) -> bool:
    """Return True: each use of the command needs a receipt."""
    return True


def never(_argv: Sequence[str]) -> bool:
    """Return False: no use of the command needs a receipt."""
    return False


class ConsoleCommand(msgspec.Struct, frozen=True, kw_only=True):
    """A command with its texts. `usage`: forms of the command, each with its explanation.

    `needs_receipt`: with these arguments it is not run if its receipt cannot be written.
    `redact_args` takes secrets out of the arguments in the receipt. `requires_full_name`: no prefix of
    its name is enough.
    """

    name: str
    help: Message
    usage: tuple[tuple[str, Text], ...]
    run: CommandFunction
    needs_receipt: Callable[[Sequence[str]], bool] = never
    redact_args: Callable[[Sequence[str]], Sequence[str]] = tuple
    requires_full_name: bool = False
