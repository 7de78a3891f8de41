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
from agent.config import strict

MOST_BYTES = 16_384
LONGEST_EXPIRY_S = 3600.0
"""Further ahead no command may expire: what is remembered of commands must last longer."""

CommandId = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$(?!\n)")]
By = Annotated[str, msgspec.Meta(pattern=r"^[^\x00-\x1f\x7f]{1,64}$(?!\n)")]
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
    by: By
    role: CommandRole


def command_type(verb: str, args: Any) -> type[Command]:
    """The struct of a verb's command: the common fields, and `args` of that type."""
    name = f"{verb.title().replace('_', '')}Command"
    made: type[Command] = msgspec.defstruct(  # type: ignore[assignment] # it is one, by its bases
        name,
        [("args", args)],
        bases=(Command,),
        namespace={"__doc__": f"On `down/command/{verb}`. {Command.__doc__}"},
        module=__name__,
        frozen=True,
        kw_only=True,
        forbid_unknown_fields=True,
    )
    return made


class ValidCommand(msgspec.Struct, frozen=True, kw_only=True):
    """A command that is understood. `number` counts up in the order of arrival; `digest` is equal
    for equal commands, whenever they expire; `args` are of the verb's type.
    """

    number: int
    verb: str
    id: str
    asker: Requester
    expires: datetime
    args: Any
    digest: bytes


class Malformed(Exception):
    """A command is not what is allowed: `str(error)` says what in one line. `id` is its id where
    one could be read.
    """

    def __init__(self, sentence: str, ident: str | None) -> None:
        super().__init__(sentence)
        self.id = ident


class Deferred(msgspec.Struct, frozen=True, kw_only=True):
    """What a verb gives back where the command takes a while: it ends within `within_s`, by
    `Course.finish`, or fails. The verb sees to it that not too many of them run.
    """

    within_s: float


class CommandProgressSink(Protocol):
    """What becomes of a command that takes a while. Any thread may call; neither call blocks."""

    def progress(self, share: float, detail: str) -> None:
        """So far it is: `share` in 0..1."""
        ...

    def finish(self, work: Callable[[], msgspec.Struct]) -> None:
        """It ends with `work`, which is done in the thread of the commands: it gives the result, or
        raises Refused.
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
    def args(self) -> Any:
        """The struct of its arguments, or a tagged union of structs."""
        ...

    @property
    def priority_lanes(self) -> tuple[str, ...]:
        """The names of what has a thread of its own for what cannot wait, such as a head."""
        ...

    def subject(self, args: Any) -> str:
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

    def run(self, order: ValidCommand, course: CommandProgressSink) -> msgspec.Struct | Deferred:
        """Do it. It returns within a second or two. Raises Refused and DriverError."""
        ...


def parse(verb: CommandHandler, kind: type[Command], payload: bytes, number: int) -> ValidCommand:
    """The order in a payload. `kind` is the `command_type` of the verb. Raises Malformed."""
    where = f"command {verb.name}"
    if len(payload) > MOST_BYTES:
        raise Malformed(f"{where}: {len(payload)} bytes; allowed: {MOST_BYTES}", None)
    try:
        given: Any = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"{where}: not JSON: {error}", None) from error
    try:
        command: Any = strict.into(given, kind, where)
    except UserError as error:
        raise Malformed(_cut(str(error)), _id_of(given)) from error
    same = [verb.name, command.by, command.role, given["args"]]
    return ValidCommand(
        number=number,
        verb=verb.name,
        id=command.id,
        asker=Requester(id=command.by, role=command.role),
        expires=command.expires,
        args=command.args,
        digest=hashlib.sha256(msgspec.json.encode(same, order="deterministic")).digest(),
    )


def check_expiry(order: ValidCommand, now: datetime) -> None:
    """Raise Refused where it is too late for an order, or it would be good for too long. `now` is
    UTC, and to be trusted.
    """
    left_s = (order.expires - now).total_seconds()
    if left_s <= 0:
        raise CommandRejected("expired", f"it expired {-left_s:.1f} s before it could be begun")
    if left_s > LONGEST_EXPIRY_S:
        raise CommandRejected(
            "malformed",
            f"command {order.verb}: expires: {left_s:.0f} s ahead; "
            f"allowed: {LONGEST_EXPIRY_S:.0f} s at the most",
        )


_SENTENCE_MOST = 500


def _cut(sentence: str) -> str:
    """Somebody's value may stand in it."""
    return sentence if len(sentence) <= _SENTENCE_MOST else f"{sentence[:_SENTENCE_MOST]} ..."


def _id_of(given: Any) -> str | None:
    try:
        return msgspec.convert(given["id"], CommandId)
    except (KeyError, TypeError, msgspec.ValidationError):
        return None
