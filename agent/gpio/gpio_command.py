"""The command `gpio`: switch a pin that is configured as switchable, such as a siren."""

from collections.abc import Callable
from typing import Annotated, TypeAlias

import msgspec

from agent.commands.command import CommandProgressSink, QueuedCommandHandler, ValidCommand
from agent.commands.permission import Permission
from agent.config.names import Name

VERB = "gpio"


class GpioArgs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A pin, on or off, and for how long: at most its `max_on_s`."""

    pin: Name
    active: bool
    for_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)] | None = None


class GpioResult(msgspec.Struct, frozen=True, kw_only=True):
    """The requested state of the pin."""

    pin: str
    active: bool


Args: TypeAlias = GpioArgs
Result: TypeAlias = GpioResult


class GpioCommandHandler(QueuedCommandHandler):
    """Handles `gpio`; see `agent.commands.command.CommandHandler`.

    `set_output(name, active, for_s, by)` switches a pin, or raises CommandRejected.
    """

    name = VERB
    args_type = Args

    def __init__(self, set_output: Callable[[str, bool, float | None, str], None]) -> None:
        self._set_output = set_output

    def describe(self, args: GpioArgs) -> str:
        """Return the pin and its state, such as `siren on`."""
        return f"{args.pin} {'on' if args.active else 'off'}"

    def is_idempotent(self, args: GpioArgs) -> bool:
        """Return True for off: a siren must not sound again after a restart."""
        return not args.active

    def permission(self, args: GpioArgs) -> Permission:
        """Return `switch`."""
        return Permission(action="switch")

    def run(self, command: ValidCommand, progress_sink: CommandProgressSink) -> GpioResult:
        """Switch the pin."""
        args: GpioArgs = command.args
        self._set_output(args.pin, args.active, args.for_s, command.requester.id)
        return GpioResult(pin=args.pin, active=args.active)
