"""A command: its words, what is understood of it, and what a verb offers. Pure.

The words are the same over MQTT (`down/command/<verb>`) and over the socket of the box.
"""

import hashlib
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal, Protocol

import msgspec

from agent.base.errors import UserError
from agent.commands.requester import CommandRejected, Requester
from agent.config import toml_decode

MAX_COMMAND_BYTES = 16_384
MAX_EXPIRY_S = 3600.0
"""Further ahead no command may expire: what is remembered of commands must last longer."""

CommandId = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$(?!\n)")]
RequesterId = Annotated[str, msgspec.Meta(pattern=r"^[^\x00-\x1f\x7f]{1,64}$(?!\n)")]
CommandRole = Literal["operator", "incident"]
"""Who may ask from outside. Tracking and tour are the box's own."""


class Command(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stands in every command beside `args`, which are the verb's.

    `id` names this command: another one of the same id is a repeat, gets the same reply, and is
    not done again. `expires` is RFC 3339, at most an hour ahead. `by` is who asks, for the log and
    for the lease.
    """

    id: CommandId
    expires: Annotated[datetime, msgspec.Meta(tz=True)]
    by: RequesterId
    role: CommandRole


def build_command_struct(verb: str, args_type: Any) -> type[Command]:
    """The struct of a verb's command: the common fields, and `args` of that type."""
    name = f"{verb.title().replace('_', '')}Command"
    struct: type[Command] = msgspec.defstruct(  # type: ignore[assignment] # it is one, by its bases
        name,
        [("args", args_type)],
        bases=(Command,),
        namespace={"__doc__": f"On `down/command/{verb}`. {Command.__doc__}"},
        module=__name__,
        frozen=True,
        kw_only=True,
        forbid_unknown_fields=True,
    )
    return struct


class ValidCommand(msgspec.Struct, frozen=True, kw_only=True):
    """A command that is understood. `number` counts up in the order of arrival; `digest` is equal
    for equal commands, whenever they expire; `args` are of the verb's type.
    """

    arrival_number: int
    verb: str
    id: str
    requester: Requester
    expires: datetime
    args: Any
    digest: bytes


class MalformedCommand(Exception):
    """A command is not what is allowed: `str(error)` says what in one line. `id` is its id where
    one could be read.
    """

    def __init__(self, message: str, command_id: str | None) -> None:
        super().__init__(message)
        self.command_id = command_id


class Deferred(msgspec.Struct, frozen=True, kw_only=True):
    """What a verb gives back where the command takes a while: it ends within `within_s`, by
    `Course.finish`, or fails. The verb sees to it that not too many of them run.
    """

    timeout_s: float


class CommandProgressSink(Protocol):
    """What becomes of a command that takes a while. Any thread may call; neither call blocks."""

    def report_progress(self, fraction: float, detail: str) -> None:
        """So far it is: `share` in 0..1."""
        ...

    def finish(self, make_result: Callable[[], msgspec.Struct]) -> None:
        """It ends with `work`, which is done in the thread of the commands: it gives the result, or
        raises CommandRejected.
        """
        ...


class CommandHandler(Protocol):
    """Something that can be commanded; a file of its device each.

    Such a file offers `VERB`, `Args` and `Result` too: the verb's name, and the types of what it
    takes and gives. The wire contract for machines is written from these.
    """

    @property
    def name(self) -> str:
        """As it stands in the topic."""
        ...

    @property
    def args_type(self) -> Any:
        """The struct of its arguments, or a tagged union of structs."""
        ...

    @property
    def priority_lanes(self) -> tuple[str, ...]:
        """The names of what has a thread of its own for what cannot wait, such as a head."""
        ...

    def describe(self, args: Any) -> str:
        """What is asked, in a word or two for the log. No secrets."""
        ...

    def is_idempotent(self, args: Any) -> bool:
        """Whether no harm is done where a crash makes it be done twice."""
        ...

    def priority_lane(self, args: Any) -> str | None:
        """Which one of `express` does it, before all that waits; None for what waits its turn. It
        is done however often it comes, however late, and never takes a while.
        """
        ...

    def run(
        self, command: ValidCommand, progress_sink: CommandProgressSink
    ) -> msgspec.Struct | Deferred:
        """Do it. It returns within a second or two. Raises CommandRejected and DriverError."""
        ...


def parse_command(
    handler: CommandHandler, command_struct: type[Command], payload: bytes, arrival_number: int
) -> ValidCommand:
    """The order in a payload. `kind` is the `command_type` of the verb. Raises Malformed."""
    context = f"command {handler.name}"
    if len(payload) > MAX_COMMAND_BYTES:
        raise MalformedCommand(
            f"{context}: {len(payload)} bytes; allowed: {MAX_COMMAND_BYTES}", None
        )
    try:
        decoded: Any = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedCommand(f"{context}: not JSON: {error}", None) from error
    try:
        command: Any = toml_decode.convert(decoded, command_struct, context)
    except UserError as error:
        raise MalformedCommand(_truncate(str(error)), _read_id(decoded)) from error
    digest_input = [handler.name, command.by, command.role, decoded["args"]]
    return ValidCommand(
        arrival_number=arrival_number,
        verb=handler.name,
        id=command.id,
        requester=Requester(id=command.by, role=command.role),
        expires=command.expires,
        args=command.args,
        digest=hashlib.sha256(msgspec.json.encode(digest_input, order="deterministic")).digest(),
    )


def check_expiry(command: ValidCommand, now: datetime) -> None:
    """Raise CommandRejected where it is too late for an order, or it would be good for too long. `now` is
    UTC, and to be trusted.
    """
    remaining_s = (command.expires - now).total_seconds()
    if remaining_s <= 0:
        raise CommandRejected(
            "expired", f"it expired {-remaining_s:.1f} s before it could be begun"
        )
    if remaining_s > MAX_EXPIRY_S:
        raise CommandRejected(
            "malformed",
            f"command {command.verb}: expires: {remaining_s:.0f} s ahead; "
            f"allowed: {MAX_EXPIRY_S:.0f} s at the most",
        )


_MAX_MESSAGE_CHARS = 500


def _truncate(message: str) -> str:
    """Somebody's value may stand in it."""
    return message if len(message) <= _MAX_MESSAGE_CHARS else f"{message[:_MAX_MESSAGE_CHARS]} ..."


def _read_id(decoded: Any) -> str | None:
    try:
        return msgspec.convert(decoded["id"], CommandId)
    except (KeyError, TypeError, msgspec.ValidationError):
        return None
