"""The command `gpio`: switch a pin that is configured as switchable, such as a siren."""

from collections.abc import Callable
from typing import Annotated

import msgspec

from agent.commands.command import (
    CommandArgs,
    CommandHandler,
    CommandProgressSink,
    CommandType,
    ValidCommand,
)
from agent.config.names import Name


class GpioArgs(CommandArgs, frozen=True, kw_only=True):
    """A pin, on or off, and for how long: at most its `max_on_s`."""

    pin: Name
    active: bool
    for_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)] | None = None


class GpioResult(msgspec.Struct, frozen=True, kw_only=True):
    """The requested state of the pin."""

    pin: str
    active: bool


# A siren must not sound again after a restart.
COMMAND = CommandType(
    verb="gpio",
    args=GpioArgs,
    result=GpioResult,
    summary="an output, such as a siren",
    actions=("switch",),
    describe=lambda args: f"{args.pin} {'on' if args.active else 'off'}",
    is_idempotent=lambda args: not args.active,
    examples=(GpioArgs(pin="siren", active=True, for_s=30), GpioArgs(pin="siren", active=False)),
    result_examples=(GpioResult(pin="siren", active=True),),
)


class GpioCommandHandler(CommandHandler):
    """Handles `gpio`.

    `set_output(name, active, for_s, by)` switches a pin, or raises CommandRejected.
    """

    command = COMMAND

    def __init__(self, set_output: Callable[[str, bool, float | None, str], None]) -> None:
        self._set_output = set_output

    def run(self, command: ValidCommand, progress_sink: CommandProgressSink) -> GpioResult:
        """Switch the pin."""
        args: GpioArgs = command.args
        self._set_output(args.pin, args.active, args.for_s, command.requester.id)
        return GpioResult(pin=args.pin, active=args.active)
