"""Command `declare`: the public declaration as it is now. The box publishes it again, too."""

from collections.abc import Callable

import msgspec

from agent.commands.command import (
    CommandHandler,
    CommandProgressSink,
    CommandType,
    ValidCommand,
    always,
)
from agent.reporting.declaration.data import DeclarationData


class DeclareArgs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """No arguments."""


COMMAND = CommandType(
    verb="declare",
    args=DeclareArgs,
    result=DeclarationData,
    summary="the public declaration as it is now",
    actions=("see",),
    describe=lambda _args: "the declaration",
    is_idempotent=always,
)


class DeclareCommandHandler(CommandHandler):
    """Handles `declare`.

    `publish` has the retained declaration published again.
    """

    command = COMMAND

    def __init__(
        self, build_declaration: Callable[[], DeclarationData], publish: Callable[[], None]
    ) -> None:
        self._build_declaration = build_declaration
        self._publish = publish

    def run(self, command: ValidCommand, progress_sink: CommandProgressSink) -> DeclarationData:
        """Publish the declaration again, and return it."""
        self._publish()
        return self._build_declaration()
