"""A command: its fields, its declaration, its parsing, and the base of a command handler. Pure.

The fields are the same over MQTT (`down/command/<verb>`) and over the control socket.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from agent.base import checked_convert
from agent.base.errors import UserError
from agent.base.json_decode import MalformedJson, decode_any_json
from agent.base.model import RefusalCode, ReplyAddress
from agent.commands.requester import CommandRejected, Requester
from agent.config.control import Action

MAX_COMMAND_BYTES = 16_384
COMMAND_LIFETIME_S = 60.0
"""Until the expiry of a command that is given at the box, or by the agent itself."""
MAX_EXPIRY_S = 3600.0
"""Until the latest expiry of a command. The idempotency store keeps its record for longer."""

CommandId = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[A-Za-z0-9_-]{1,64}$(?!\n)",
        extra={"allowed": "letters, digits, '-' and '_', 1 to 64"},
    ),
]
RequesterId = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[^\x00-\x1f\x7f]{1,64}$(?!\n)",
        extra={"allowed": "one line of 1 to 64 characters"},
    ),
]
CommandRole = Literal["operator", "incident"]
"""Roles of requesters outside of the box. Tracking and tour are the box's own."""


class Permission(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of action on `cameras`; on none of them if it concerns the box as a whole."""

    action: Action
    cameras: tuple[str, ...] = ()


class CommandArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of the arguments of a verb: unknown fields are refused."""


class NoArguments(CommandArgs, frozen=True):
    """No arguments."""


class Command(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The fields of every command, in addition to `args`, which depend on the verb.

    `id` names this command: a second one of the same id is a repeat, gets the same reply, and is
    not done again. `expires` is RFC 3339, at most an hour ahead. `by` is the requester, for the
    log and for the lease.
    """

    id: CommandId
    expires: Annotated[datetime, msgspec.Meta(tz=True)]
    by: RequesterId
    role: CommandRole


CommandT = TypeVar("CommandT", bound=msgspec.Struct)


def build_command_struct(verb: str, args_type: Any) -> type[Command]:
    """Return the struct of a verb's command: the common fields, and `args` of that type."""
    return add_args(Command, "Command", verb, args_type)


def add_args(fields: type[CommandT], suffix: str, verb: str, args_type: Any) -> type[CommandT]:
    """Return the struct of a verb with the common `fields`, and `args` of that type."""
    name = f"{verb.title().replace('_', '')}{suffix}"
    struct: type[CommandT] = msgspec.defstruct(  # type: ignore[assignment] # it is one, by its bases
        name,
        [("args", args_type)],
        bases=(fields,),
        namespace={"__doc__": f"On `down/command/{verb}`. {fields.__doc__}"},
        module=__name__,
        frozen=True,
        kw_only=True,
        forbid_unknown_fields=True,
    )
    return struct


class ValidCommand(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed command.

    `arrival_number` counts up in the order of arrival. `digest` is equal for equal commands,
    whenever they expire. `args` are of the verb's type. `cosigner` is the second person that signed it.
    Only a signed command has `issued`; `session` is the connection that it names, if it names one. `reply_address`:
    see IncomingCommand.
    """

    arrival_number: int
    verb: str
    id: str
    requester: Requester
    expires: datetime
    args: Any
    digest: bytes
    cosigner: Requester | None = None
    issued: datetime | None = None
    session: int | None = None
    reply_address: ReplyAddress | None = None

    @property
    def signers(self) -> tuple[Requester, ...]:
        """The requester, and the second person that signed if there is one."""
        return (self.requester,) if self.cosigner is None else (self.requester, self.cosigner)


class UnacceptableCommand(Exception):
    """A command is refused at its arrival: `str(error)` says why in one line. `command_id` is its id,
    or None if none could be read.
    """

    def __init__(self, code: RefusalCode, message: str, command_id: str | None) -> None:
        super().__init__(message)
        self.code: RefusalCode = code
        self.command_id = command_id


class MalformedCommand(UnacceptableCommand):
    """A command cannot be parsed."""

    def __init__(self, message: str, command_id: str | None) -> None:
        super().__init__("malformed", message, command_id)


class Deferred(msgspec.Struct, frozen=True, kw_only=True):
    """Result of a command that takes a while: `CommandProgressSink.finish` ends it within
    `timeout_s`, or it fails. The handler limits how many run at once.

    `on_timeout` is called if it fails so, and returns the reason in one sentence. With `forget` a stop of the agent does
    not end it: the handler has stored it, and the next run resumes it, until `forget` is called on the dispatcher's
    thread. That is after the last reply was persisted and sent, so no end of the agent loses it.
    """

    timeout_s: float
    on_timeout: Callable[[], str] = lambda: "it has not ended in time"
    forget: Callable[[], None] | None = None


class CommandProgressSink:
    """Takes progress and end of a command that takes a while. Thread-safe; never blocks."""

    def __init__(
        self,
        on_progress: Callable[[float, str], None],
        on_finish: Callable[[Callable[[], msgspec.Struct]], None],
    ) -> None:
        self._on_progress = on_progress
        self._on_finish = on_finish

    def report_progress(self, fraction: float, detail: str) -> None:
        """Report how far the command is, 0..1, and what is being done now."""
        self._on_progress(fraction, detail)

    def finish(self, make_result: Callable[[], msgspec.Struct]) -> None:
        """End the command. `make_result` runs on the dispatcher's thread: it returns the result, or
        raises CommandRejected.
        """
        self._on_finish(make_result)


def always(_args: Any) -> bool:
    """Return True: the command may be done twice."""
    return True


def never(_args: Any) -> bool:
    """Return False: the command must not be done twice."""
    return False


def _no_cameras(_args: Any) -> tuple[str, ...]:
    return ()


class CommandType(msgspec.Struct, frozen=True, kw_only=True):
    """The declaration of one verb. Parsing, permissions, docs/asyncapi.json and the table of docs/commands.md follow from it.

    `args` is the struct of its arguments, or a tagged union of structs, and `result` that of the reply. `summary` says
    what it requests. `actions` are those that a requester may need, and `cameras` the cameras of a command.
    `describe` returns a word or two for the log, without secrets. `is_idempotent` returns whether a command may be done
    twice after a crash. `examples` of arguments and `result_examples` are those of docs/commands.md.
    """

    verb: str
    args: Any
    result: Any
    summary: str
    actions: tuple[Action, ...]
    cameras: Callable[[Any], tuple[str, ...]] = _no_cameras
    describe: Callable[[Any], str]
    is_idempotent: Callable[[Any], bool]
    examples: tuple[msgspec.Struct, ...] = ()
    result_examples: tuple[msgspec.Struct, ...] = ()


class CommandHandler(ABC):
    """Carries out the commands of one verb. Each is a file next to its device, with its `COMMAND`."""

    command: CommandType

    @property
    def priority_lanes(self) -> tuple[str, ...]:
        """Names of the lanes, such as a head's, that have a thread of their own for urgent commands."""
        return ()

    def priority_lane(self, args: Any) -> str | None:
        """Return the lane that does the command at once, or None if it waits its turn.

        On a lane a command is done however often and however late it comes, and may not be
        Deferred.
        """
        return None

    def permission(self, args: Any) -> Permission:
        """Return what the requester must be permitted: the first action of the declaration."""
        return Permission(action=self.command.actions[0], cameras=self.command.cameras(args))

    @abstractmethod
    def run(
        self, command: ValidCommand, progress_sink: CommandProgressSink
    ) -> msgspec.Struct | Deferred:
        """Carry out the command within a second or two. Raises: CommandRejected and DriverError."""


def parse_command(
    command_type: CommandType, command_struct: type[Command], payload: bytes, arrival_number: int
) -> ValidCommand:
    """Parse a payload by the verb's `build_command_struct`. Raises: MalformedCommand."""
    context = f"command {command_type.verb}"
    if len(payload) > MAX_COMMAND_BYTES:
        raise MalformedCommand(
            f"{context}: {len(payload)} bytes; allowed: {MAX_COMMAND_BYTES}",
            read_command_id(payload),
        )
    try:
        decoded = decode_any_json(payload)
    except MalformedJson as error:
        raise MalformedCommand(f"{context}: not JSON: {error}", None) from error
    try:
        command: Any = checked_convert.convert(decoded, command_struct, context)
    except UserError as error:
        raise MalformedCommand(truncate(str(error)), id_of_command(decoded)) from error
    requester = Requester(id=command.by, role=command.role)
    return ValidCommand(
        arrival_number=arrival_number,
        verb=command_type.verb,
        id=command.id,
        requester=requester,
        expires=command.expires,
        args=command.args,
        digest=command_digest(command_type.verb, (requester,), decoded["args"]),
    )


def command_digest(verb: str, signers: Sequence[Requester], args: object) -> bytes:
    """Return what is equal for equal commands. `args` are as decoded from JSON, or as the agent itself gives them."""
    content = [verb, signers, args]
    return hashlib.sha256(msgspec.json.encode(content, order="deterministic")).digest()


def check_expiry(command: ValidCommand, now: datetime) -> None:
    """Raise CommandRejected if the command has expired, or expires too far ahead. `now` is trusted
    UTC.
    """
    remaining_s = (command.expires - now).total_seconds()
    if remaining_s <= 0:
        raise CommandRejected("expired", f"it expired {-remaining_s:.1f} s before it could begin")
    if remaining_s > MAX_EXPIRY_S:
        raise CommandRejected(
            "malformed",
            f"command {command.verb}: expires: {remaining_s:.0f} s ahead; "
            f"allowed: at most {MAX_EXPIRY_S:.0f} s",
        )


_MAX_MESSAGE_CHARS = 500


def truncate(message: str) -> str:
    """Bound a message that may quote a value of the requester."""
    return message if len(message) <= _MAX_MESSAGE_CHARS else f"{message[:_MAX_MESSAGE_CHARS]} ..."


def read_command_id(payload: bytes) -> str | None:
    """Return the id of a command that is not parsed further, or None if none can be read."""
    try:
        return id_of_command(decode_any_json(payload))
    except MalformedJson:
        return None


def id_of_command(decoded: Any) -> str | None:
    """Return the id of a decoded command, or None if it has none."""
    try:
        return msgspec.convert(decoded["id"], CommandId)
    except (KeyError, TypeError, msgspec.ValidationError):
        return None
