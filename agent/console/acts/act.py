"""An act of a technician at a box, declared once: the console's commands and the page at the pole run the same function.

`act` declares a function; `act_table` has all acts.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Generic,
    Literal,
    TypeAlias,
    TypeVar,
    get_origin,
    get_type_hints,
)

import msgspec

from agent.base.clock import Clock
from agent.base.errors import UserError
from agent.base.message import Message, Text
from agent.capture.lens_aim import FocusBlocks
from agent.console.act_wire import DEFAULT_TIMEOUT_S, ActKind, ReplyKind
from agent.console.acts.live_view import LiveViews
from agent.console.context import VIEW_PURPOSE, ConsoleContext
from agent.console.errors import ConsoleError
from agent.faults.texts import Language

if TYPE_CHECKING:
    from agent.console.acts.commissioning_draft import Commissioning

PAGE_VIEW_PURPOSE = "looked through it at the page at the pole"
CHECK_S = 120.0
LONG_S = 300.0

Lane: TypeAlias = Literal["picture", "stop", "head", "status", "work", "upload"]
"""Acts of one lane run one after the other: a stop of a head never waits for a check."""
Need: TypeAlias = Literal["agent", "box", "root"]
"""The running agent, the files and devices of the box alone, or root's unit."""

_CHUNK_BYTES = 1 << 20
ArgsT = TypeVar("ArgsT", bound=msgspec.Struct)
ResultT = TypeVar("ResultT")
ValueT = TypeVar("ValueT")


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """A file of `size_bytes`, to be read once: its descriptor may be that of a pipe."""

    fd: int
    size_bytes: int

    def parts(self) -> Iterator[bytes]:
        """Yield the file in parts. Raises UserError if it has another size, such as after a cut."""
        received_bytes = 0
        while chunk := os.read(self.fd, _CHUNK_BYTES):
            received_bytes += len(chunk)
            if received_bytes > self.size_bytes:
                break
            yield chunk
        if received_bytes != self.size_bytes:
            raise UserError(
                Message(
                    "the file: {received} bytes have come; allowed: {size}",
                    received=received_bytes,
                    size=self.size_bytes,
                )
            )

    def read(self) -> bytes:
        """Return the whole file. Raises UserError as `parts`."""
        return b"".join(self.parts())


class ActState:
    """The state of one session, which acts keep between requests. Each part belongs to the acts of one lane."""

    def __init__(
        self, clock: Clock, console_language: Language, view_purpose: str = VIEW_PURPOSE
    ) -> None:
        self.console_language = console_language
        """That of the console's session, for a phone on which none was chosen."""
        self.view_purpose = view_purpose
        """That of the receipts of looks through a camera."""
        self.live = LiveViews(view_purpose, clock.boottime_ns)
        self.best_focus: dict[str, FocusBlocks] = {}
        """The sharpest focus of each camera whose lens was turned past it."""
        self.commissioning: Commissioning | None = None
        self.last_jog_ns: dict[str, int] = {}


class ActCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call of an act. `upload` is the file that came along, None for an act that takes none."""

    context: ConsoleContext
    state: ActState
    upload: Upload | None = None

    def require_upload(self) -> Upload:
        """Return the file that came along. Raises UserError without one."""
        if self.upload is None:
            raise UserError(Message("allowed: with a file"))
        return self.upload


class Lines(msgspec.Struct, Generic[ValueT], frozen=True):
    """The result of an act with several values."""

    values: Iterator[ValueT]


class Picture(msgspec.Struct, Generic[ValueT], frozen=True):
    """The result of an act with a JPEG."""

    jpeg: bytes
    value: ValueT


class Download(msgspec.Struct, Generic[ValueT], frozen=True):
    """The result of an act with a file, which is closed once it is sent."""

    fd: int
    value: ValueT


def call_at_console(context: ConsoleContext) -> ActCall:
    """Return a call of a console's command, which keeps nothing for the next one."""
    return ActCall(context=context, state=ActState(context.clock, context.language))


class BoxArgs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The box's id, which the technician types as a confirmation."""

    box: Annotated[str, msgspec.Meta(max_length=64)]

    def confirm(self, context: ConsoleContext) -> None:
        """Raise ConsoleError unless it is this box's id."""
        if self.box != context.box_id:
            raise ConsoleError(
                Message(
                    "box {typed}: allowed: {box}, as a confirmation",
                    typed=self.box,
                    box=context.box_id,
                )
            )


class Done(msgspec.Struct, frozen=True):
    """The result of an act that has none."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome in words."""

    text: Text


_REPLIES: Mapping[object, ReplyKind] = {Lines: "lines", Picture: "picture", Download: "file"}


def always(_call: ActCall, _args: Any) -> bool:
    """Return True: each call has a receipt of its own."""
    return True


class Act(ActKind, Generic[ArgsT, ResultT], frozen=True, kw_only=True):
    """One act, with the kind of its reply and its bounds; `act` declares it. A call runs it.

    `typed` is the console's command that runs it or does the same. `receipt` has the words of its receipt, with fields of
    `args` and of `call`; without the receipt it is not done. With "" the act only reads, or writes a receipt of its own.
    `needs_receipt` is False for a call that the receipt of an earlier one covers.
    """

    name: str
    summary: str
    run: Callable[[ActCall, ArgsT], ResultT]
    args_type: type[ArgsT]
    lane: Lane
    needs: Need
    typed: str
    receipt: str
    needs_receipt: Callable[[ActCall, Any], bool]

    def __call__(self, call: ActCall, args: ArgsT) -> ResultT:
        """Run it. Raises ConsoleError, UserError, DriverError or OSError."""
        return self.run(call, args)

    def format_receipt(self, call: ActCall, args: ArgsT) -> str | None:
        """Return the words of the receipt of a call, or None if it has none."""
        if not self.receipt or not self.needs_receipt(call, args):
            return None
        return self.receipt.format(call=call, args=args).rstrip()

    @property
    def kind(self) -> ActKind:
        """The part that the web process of the page knows."""
        return ActKind(**{name: getattr(self, name) for name in ActKind.__struct_fields__})


def act(
    *,
    lane: Lane,
    needs: Need = "box",
    typed: str = "",
    timeout_s: float = DEFAULT_TIMEOUT_S,
    upload_max_bytes: int = 0,
    is_urgent: bool = False,
    receipt: str = "",
    needs_receipt: Callable[[ActCall, Any], bool] = always,
) -> Callable[[Callable[[ActCall, ArgsT], ResultT]], Act[ArgsT, ResultT]]:
    """Declare a function as an act, which has its name, the first sentence of its docstring and its types.

    It returns a value, `Lines`, a `Picture` or a `Download`.
    """

    def declare(run: Callable[[ActCall, ArgsT], ResultT]) -> Act[ArgsT, ResultT]:
        _, args_type, result_type = get_type_hints(run).values()
        sentence, _, _ = (run.__doc__ or "").partition(".")
        return Act(
            name=run.__name__,
            summary=sentence,
            run=run,
            args_type=args_type,
            reply=_REPLIES.get(get_origin(result_type) or result_type, "value"),
            lane=lane,
            needs=needs,
            typed=typed,
            timeout_s=timeout_s,
            upload_max_bytes=upload_max_bytes,
            is_urgent=is_urgent,
            receipt=receipt,
            needs_receipt=needs_receipt,
        )

    return declare
