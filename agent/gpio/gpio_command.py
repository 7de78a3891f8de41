"""`gpio`: switch a pin that the configuration lets the centre switch, such as a siren."""

from collections.abc import Callable
from typing import Annotated, TypeAlias

import msgspec

from agent.commands.command import CommandProgressSink, ValidCommand
from agent.config.names import Name

VERB = "gpio"


class GpioArgs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which pin, on or off, and for how long: never longer than its longest time on."""

    pin: Name
    active: bool
    for_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)] | None = None


class GpioResult(msgspec.Struct, frozen=True, kw_only=True):
    """The pin as it was told to be."""

    pin: str
    active: bool


Args: TypeAlias = GpioArgs
Result: TypeAlias = GpioResult


class GpioCommandHandler:
    """See `agent.commands.command.Verb`. `drive(name, active, for_s, by)` switches a pin, or raises
    Refused: where there is none of that name, or it is not switchable.
    """

    name = VERB
    args_type = Args
    priority_lanes = ()

    def __init__(self, set_output: Callable[[str, bool, float | None, str], None]) -> None:
        self._set_output = set_output

    def describe(self, args: GpioArgs) -> str:
        """Such as `siren on`."""
        return f"{args.pin} {'on' if args.active else 'off'}"

    def is_idempotent(self, args: GpioArgs) -> bool:
        """Off may be said twice, and must pass; a siren must not sound again by itself."""
        return not args.active

    def priority_lane(self, args: GpioArgs) -> str | None:
        """It waits its turn."""
        return None

    def run(self, command: ValidCommand, progress_sink: CommandProgressSink) -> GpioResult:
        """Switch it."""
        args: GpioArgs = command.args
        self._set_output(args.pin, args.active, args.for_s, command.requester.id)
        return GpioResult(pin=args.pin, active=args.active)
