"""Reading of incoming commands: each becomes a valid command and its handler, or a refusal at its arrival."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from agent.base.model import IncomingCommand
from agent.commands.command import (
    CommandHandler,
    MalformedCommand,
    UnacceptableCommand,
    ValidCommand,
    build_command_struct,
    parse_command,
    truncate,
)
from agent.commands.signed_command import CommandAuthenticator, read_signed_id


class ReadCommand(NamedTuple):
    """A command and the handler of its verb."""

    command: ValidCommand
    handler: CommandHandler


class CommandReader:
    """Parses commands, and verifies those of the network if there is an `authenticator`. Thread-safe."""

    def __init__(
        self, handlers: Sequence[CommandHandler], authenticator: CommandAuthenticator | None
    ) -> None:
        self.handlers = {handler.command.verb: handler for handler in handlers}
        self._structs = {
            handler.command.verb: build_command_struct(handler.command.verb, handler.command.args)
            for handler in handlers
        }
        self._authenticator = authenticator

    def read(
        self, incoming: IncomingCommand, arrival_number: int, *, is_local: bool
    ) -> ReadCommand:
        """Return the command. Raises: UnacceptableCommand.

        A local command came over the control socket, which only the agent's user and root reach: it has no signature.
        """
        handler = self.handlers.get(incoming.verb)
        if handler is None:
            known = ", ".join(sorted(self.handlers)) or "none"
            raise UnacceptableCommand(
                "unsupported",
                f"{truncate(incoming.verb)!r}: this box has no such command; allowed: {known}",
                read_signed_id(incoming.payload),
            )
        if is_local or self._authenticator is None:
            command = parse_command(
                handler.command,
                self._structs[handler.command.verb],
                incoming.payload,
                arrival_number,
            )
        else:
            command = self._authenticator.open_command(handler, incoming.payload, arrival_number)
        if incoming.retained:
            raise MalformedCommand(
                f"command {handler.command.verb}: it was published retained; allowed: not retained",
                command.id,
            )
        return ReadCommand(command, handler)

    def read_pending(self, command: ValidCommand) -> ReadCommand:
        """Return a command of an earlier run, which was stored as JSON, with the arguments of its verb."""
        handler = self.handlers[command.verb]
        args = msgspec.convert(command.args, handler.command.args)
        return ReadCommand(msgspec.structs.replace(command, args=args), handler)

    def check_freshness(self, command: ValidCommand, present_session: int | None) -> None:
        """Raise CommandRejected if a signed command is not fresh."""
        if self._authenticator is not None:
            self._authenticator.check_freshness(command, present_session)
