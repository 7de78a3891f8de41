"""Command `declare`: the public declaration as it is now. The box publishes it again, too."""

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from agent.commands.command import CommandProgressSink, QueuedCommandHandler, ValidCommand
from agent.commands.permission import Permission
from agent.reporting.declaration.data import DeclarationData

VERB = "declare"


class DeclareArgs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """No arguments."""


Args: TypeAlias = DeclareArgs
Result: TypeAlias = DeclarationData


class DeclareCommandHandler(QueuedCommandHandler):
    """Handles `declare`; see `agent.commands.command.CommandHandler`.

    `publish` has the retained declaration published again.
    """

    name = VERB
    args_type = Args

    def __init__(
        self, build_declaration: Callable[[], DeclarationData], publish: Callable[[], None]
    ) -> None:
        self._build_declaration = build_declaration
        self._publish = publish

    def describe(self, args: DeclareArgs) -> str:
        """Return the line of the log."""
        return "the declaration"

    def is_idempotent(self, args: DeclareArgs) -> bool:
        """Return True: it reads."""
        return True

    def permission(self, args: DeclareArgs) -> Permission:
        """Return `see`, of no camera: a declaration is public."""
        return Permission(action="see")

    def run(self, command: ValidCommand, progress_sink: CommandProgressSink) -> DeclarationData:
        """Publish the declaration again, and return it."""
        self._publish()
        return self._build_declaration()
