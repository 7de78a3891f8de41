"""Commands and inquiries to one VISCA camera, over the bus that it shares with others.

Nothing waits for an ACK on the line itself, so a stop passes at once. What was sent is written down
in the bus's thread, before anything is heard that came after it, so each reply finds its command.

Before its first word, and after it was silent or a camera of the chain came or went, the chain is
numbered and this camera forgets all commands.
"""

import threading
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import msgspec

from drivers import visca_codec as visca
from drivers.errors import DriverError
from drivers.serial_bus import BUSES
from drivers.visca_codec import Ack, Answer, Completed, Failed, NetworkChange, Numbered, Reply
from drivers.visca_options import Options
from drivers.visca_sockets import Command, Sockets

INQUIRY_TRIES = 2
"""An inquiry moves nothing, so it may be made twice."""
FULL_TRIES = 4
FULL_WAIT_S = 0.1
"""So often, and so long after each other, a command is sent to a camera with both sockets taken."""
CANCEL_BYTES = 3

T = TypeVar("T")


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a camera answered, and when that was heard (CLOCK_BOOTTIME)."""

    data: bytes
    t_ns: int


class _Heard(msgspec.Struct, frozen=True, kw_only=True):
    """What a camera said to an inquiry, and when."""

    reply: Answer | Failed
    t_ns: int


class ViscaTalk:
    """One camera on its line. Every method may be called from any thread."""

    def __init__(self, name: str, options: Options, clock_ns: Callable[[], int]) -> None:
        self._what = f"head {name!r}"
        self._address = options.address
        self._options = options
        self._clock_ns = clock_ns
        self._changed = threading.Condition()
        self._sockets = Sockets()
        self._unrest = 1
        self._settled = 0
        self._preparing = threading.Lock()
        self._orders = 0
        self._stops = 0
        self._stop_frames: tuple[bytes, ...] = ()
        self._stopping: list[Command] = []
        decoder = visca.ReplyDecoder(options.address)
        self._seat = BUSES.seat(name, options.settings, decoder, heard=self._heard)

    @property
    def executing(self) -> tuple[int, ...]:
        """The camera's sockets that are taken."""
        with self._changed:
            return self._sockets.executing

    def order(self, *frames: bytes, motion: bool = True) -> list[Command]:
        """Have commands done, one after the other, and return when all are acknowledged. A motion
        is taken away by a stop, and before it has begun by a newer one: then fewer come back.

        Raises DriverError: timeout, absent; busy where both sockets stay taken; unsupported where
        the camera refuses.
        """
        with self._changed:
            self._orders += motion
            mine, stops = self._orders, self._stops
        self._prepare()
        commands: list[Command] = []
        for _ in range(FULL_TRIES):
            if motion and (self._orders, self._stops) != (mine, stops):
                return commands
            batch: list[Command] = []
            went = partial(self._went, batch)
            if motion:
                self._on_line(lambda: self._seat.move(*frames, each=went))  # noqa: B023 - called here
            else:
                self._on_line(lambda: self._seat.send(frames[0], each=went))  # noqa: B023
            self._acknowledged(batch)
            if motion and self._stops != stops:
                # A stop went by while this was on its way, so it may have come after it.
                self.stop(*self._stop_frames)
                return commands
            commands += [command for command in batch if command.state != "full"]
            frames = tuple(command.frame for command in batch if command.state == "full")
            if not frames:
                break
            with self._changed:
                self._changed.wait_for(lambda: not self._sockets.executing, FULL_WAIT_S)
        else:
            raise DriverError("busy", f"{self._what}: both sockets of the camera stay taken")
        self._raise_refused(commands)
        return commands

    def stop(self, *frames: bytes) -> None:
        """Send commands that end motion before all that waits, and return when they are
        acknowledged. What the camera cannot do now, it need not. Raises DriverError as `order`.
        """
        with self._changed:
            self._stops += 1
            self._stop_frames = frames
        if self._stopped(frames):
            return
        both = (visca.cancel(self._address, 1), visca.cancel(self._address, 2))
        if not self._stopped((*both, *frames)):
            raise DriverError("busy", f"{self._what}: both sockets of the camera stay taken")

    def ask(self, inquiry: bytes, size: int) -> Told:
        """The answer to an inquiry, of so many bytes. Raises DriverError."""

        def match(reply: Reply) -> _Heard | None:
            if isinstance(reply, Answer) and len(reply.data) == size:
                return _Heard(reply=reply, t_ns=self._clock_ns())
            if isinstance(reply, Failed):
                with self._changed:
                    mine = not self._sockets.waiting
                return _Heard(reply=reply, t_ns=self._clock_ns()) if mine else None
            return None

        def asked() -> _Heard:
            timeout_s = self._options.reply_timeout_s
            return self._seat.ask(inquiry, match, timeout_s=timeout_s, tries=INQUIRY_TRIES)

        self._prepare()
        heard = self._on_line(asked)
        if isinstance(heard.reply, Failed):
            message = f"{self._what}: cannot answer {inquiry.hex(' ')}: {heard.reply.problem}"
            raise DriverError("protocol", message)
        return Told(data=heard.reply.data, t_ns=heard.t_ns)

    def close(self) -> None:
        """Give up the seat on the bus. A second call does nothing."""
        self._seat.leave()

    def _heard(self, reply: Reply) -> None:
        """In the bus's thread: what answers no inquiry."""
        with self._changed:
            if isinstance(reply, NetworkChange):
                self._unrest += 1
            elif isinstance(reply, Ack | Completed | Failed):
                self._sockets.heard(reply)
            self._changed.notify_all()

    def _went(self, batch: list[Command], frame: bytes) -> None:
        """In the bus's thread: a command has gone out."""
        is_cancel = len(frame) == CANCEL_BYTES
        command = Command(frame, cancels=frame[1] & 0x0F if is_cancel else None)
        with self._changed:
            batch.append(command)
            self._sockets.sent(command)

    def _acknowledged(self, commands: list[Command]) -> None:
        """Wait until the camera has said something to each."""
        on_line_s = self._options.line_time_s(sum(len(command.frame) for command in commands))
        timeout_s = self._options.reply_timeout_s
        with self._changed:
            if self._changed.wait_for(
                lambda: all(command.state != "sent" for command in commands), on_line_s + timeout_s
            ):
                return
            for command in commands:
                if command.state == "sent":
                    self._sockets.forget(command)
            self._unrest += 1
        raise DriverError("timeout", f"{self._what}: does not answer within {timeout_s:g} s")

    def _stopped(self, frames: tuple[bytes, ...]) -> bool:
        """Send a stop; False where the camera had no socket for it."""
        batch: list[Command] = []
        self._on_line(lambda: self._seat.stop(*frames, each=partial(self._went, batch)))
        with self._changed:
            # An equal stop of another thread, that waited, was sent for both.
            commands = self._stopping = batch or self._stopping
        self._acknowledged(commands)
        return all(command.state != "full" for command in commands)

    def _prepare(self) -> None:
        """Number the chain and clear this camera, where it is not known that they are."""
        with self._preparing:
            with self._changed:
                unrest = self._unrest
                if self._settled == unrest:
                    return
            self._number_chain()
            timeout_s = self._options.reply_timeout_s
            self._seat.ask(visca.if_clear(self._address), _cleared, timeout_s=timeout_s)
            with self._changed:
                self._sockets.clear()
                self._settled = unrest

    def _number_chain(self) -> None:
        try:
            numbered = self._seat.ask(
                visca.ADDRESS_SET, _numbered, timeout_s=self._options.reply_timeout_s
            )
        except DriverError as error:
            if error.kind != "timeout":
                raise
            return  # over TCP, and behind some adapters, cameras have their number already
        if self._address >= numbered.free:
            there = numbered.free - 1
            message = f"{self._what}: address = {self._address}, and the chain has {there}"
            raise DriverError("absent", f"{message} camera{'s' if there > 1 else ''}")

    def _on_line(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except DriverError:
            with self._changed:
                self._unrest += 1
            raise

    def _raise_refused(self, commands: list[Command]) -> None:
        for command in commands:
            if command.state == "refused" and command.cancels is None:
                message = f"{self._what}: refuses {command.frame.hex(' ')}: {command.problem}"
                raise DriverError("unsupported", message)


def _numbered(reply: Reply) -> Numbered | None:
    return reply if isinstance(reply, Numbered) else None


def _cleared(reply: Reply) -> Reply | None:
    """Cameras answer to a clear with one or the other."""
    return reply if isinstance(reply, Ack | Completed | Failed) else None
