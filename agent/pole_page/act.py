"""An act of the page at the pole: its arguments, its function and its receipt; and what acts keep between requests."""

import os
from collections.abc import Callable, Iterator
from typing import Any, Literal, TypeAlias

import msgspec

from agent.base.clock import Clock
from agent.base.errors import UserError
from agent.base.message import Message
from agent.capture.lens_aim import FocusBlocks
from agent.console.acts.commissioning import Commissioning
from agent.console.acts.live_view import LiveViews
from agent.console.context import ConsoleContext
from agent.faults.texts import Language

VIEW_PURPOSE = "looked through it at the page at the pole"

Lane: TypeAlias = Literal["picture", "stop", "head", "status", "work", "upload"]
"""Acts of one lane run one after the other: a stop of a head never waits for a check."""

_CHUNK_BYTES = 1 << 20


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


class PoleState:
    """The state of one technician's page. Each part belongs to the acts of one lane."""

    def __init__(self, clock: Clock, console_language: Language) -> None:
        self.console_language = console_language
        """That of the console's session, for a phone on which none was chosen."""
        self.live = LiveViews(VIEW_PURPOSE, clock.boottime_ns)
        self.best_focus: dict[str, FocusBlocks] = {}
        """The sharpest focus of each camera whose lens was turned past it."""
        self.commissioning: Commissioning | None = None
        self.last_jog_ns: dict[str, int] = {}


class ActCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call of an act. `upload` is the file that came along, None for an act that takes none."""

    context: ConsoleContext
    state: PoleState
    upload: Upload | None = None

    def require_upload(self) -> Upload:
        """Return the file that came along. Raises UserError without one."""
        if self.upload is None:
            raise UserError(Message("allowed: with a file"))
        return self.upload


class Lines(msgspec.Struct, frozen=True):
    """The result of an act with several values."""

    values: Iterator[object]


class Picture(msgspec.Struct, frozen=True):
    """The result of an act with a JPEG."""

    jpeg: bytes
    value: object


class Download(msgspec.Struct, frozen=True):
    """The result of an act with a file, which is closed once it is sent."""

    fd: int
    value: object


class NoArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No arguments."""


class Done(msgspec.Struct, frozen=True):
    """The result of an act that has none."""


def no_receipt(_call: ActCall, _args: Any) -> None:
    """Return None: the act only reads, or it writes a receipt of its own."""


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """One act. `run` returns a value, `Lines`, a `Picture` or a `Download`.

    Raises ConsoleError, UserError, DriverError or OSError. `receipt` returns the words of the receipt, without which it
    is not done, or None.
    """

    run: Callable[[ActCall, Any], object]
    lane: Lane
    args_type: type[msgspec.Struct] = NoArgs
    receipt: Callable[[ActCall, Any], str | None] = no_receipt
