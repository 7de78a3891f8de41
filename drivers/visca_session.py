"""Commands and inquiries to one VISCA camera, over the bus that it shares with others.

The line itself does not wait for an ACK, so a stop passes at once. Sent commands are recorded on the
bus's thread, before later bytes are decoded, so each reply finds its command.

Before the first command, and after the camera was silent or a camera of the chain came or went, the
chain is numbered and this camera's commands are cleared.
"""

import threading
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import msgspec

from drivers import visca_codec as visca
from drivers.errors import DriverError
from drivers.serial_bus import BUSES
from drivers.visca_codec import (
    ChainNumbered,
    CommandAck,
    CommandCompleted,
    InquiryAnswer,
    NetworkChange,
    ViscaError,
    ViscaReply,
)
from drivers.visca_options import Options
from drivers.visca_sockets import CommandTracker, SentCommand

INQUIRY_ATTEMPTS = 2
"""An inquiry moves nothing, so it may be sent twice."""
BUFFER_FULL_ATTEMPTS = 4
BUFFER_FULL_WAIT_S = 0.1
"""How often, and at which interval, a command is sent to a camera with both sockets busy."""
CANCEL_PACKET_BYTES = 3

T = TypeVar("T")


class InquiryReply(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of a camera, and when it was received (CLOCK_BOOTTIME)."""

    data: bytes
    t_ns: int


class _TimedReply(msgspec.Struct, frozen=True, kw_only=True):
    """A reply to an inquiry, and when it was received."""

    reply: InquiryAnswer | ViscaError
    t_ns: int


class ViscaSession:
    """One camera on its line. Thread-safe."""

    def __init__(self, name: str, options: Options, clock_ns: Callable[[], int]) -> None:
        self._display_name = f"head {name!r}"
        self._address = options.address
        self._options = options
        self._clock_ns = clock_ns
        self._changed = threading.Condition()
        self._sockets = CommandTracker()
        self._reset_count = 1
        self._prepared_at_reset = 0
        self._prepare_lock = threading.Lock()
        self._motion_count = 0
        self._stop_count = 0
        self._stop_frames: tuple[bytes, ...] = ()
        self._pending_stop: list[SentCommand] = []
        decoder = visca.ReplyDecoder(options.address)
        self._bus_client = BUSES.attach(
            name, options.line_settings, decoder, on_message=self._on_reply
        )

    @property
    def busy_sockets(self) -> tuple[int, ...]:
        """The busy sockets of the camera."""
        with self._changed:
            return self._sockets.busy_sockets

    def send_commands(self, *frames: bytes, is_motion: bool = True) -> list[SentCommand]:
        """Send commands, one after the other, and return them when all are acknowledged.

        A motion is cancelled by a stop, and by a newer motion before it has begun: then fewer are
        returned. Raises: DriverError `timeout`, `absent`, `busy` if both sockets stay busy,
        `unsupported` if the camera refuses.
        """
        with self._changed:
            self._motion_count += is_motion
            motion_number, stop_number = self._motion_count, self._stop_count
        self._ensure_prepared()
        commands: list[SentCommand] = []
        for _ in range(BUFFER_FULL_ATTEMPTS):
            if is_motion and (self._motion_count, self._stop_count) != (motion_number, stop_number):
                return commands
            batch: list[SentCommand] = []
            on_frame_sent = partial(self._on_frame_sent, batch)
            if is_motion:
                self._reset_on_error(
                    partial(self._bus_client.move, *frames, on_frame_sent=on_frame_sent)
                )
            else:
                self._reset_on_error(
                    partial(self._bus_client.send, frames[0], on_frame_sent=on_frame_sent)
                )
            self._await_acks(batch)
            if is_motion and self._stop_count != stop_number:
                # A stop was sent while this was on its way, so this may have arrived after it.
                self.stop(*self._stop_frames)
                return commands
            commands += [command for command in batch if command.state != "full"]
            frames = tuple(command.frame for command in batch if command.state == "full")
            if not frames:
                break
            with self._changed:
                self._changed.wait_for(lambda: not self._sockets.busy_sockets, BUFFER_FULL_WAIT_S)
        else:
            raise DriverError("busy", f"{self._display_name}: both sockets of the camera stay busy")
        self._raise_if_refused(commands)
        return commands

    def stop(self, *frames: bytes) -> None:
        """Send commands that end motion before everything that waits, and await their ACKs.

        A command that the camera cannot execute now is ignored. Raises: DriverError as
        `send_commands`.
        """
        with self._changed:
            self._stop_count += 1
            self._stop_frames = frames
        if self._send_stop(frames):
            return
        cancel_frames = (visca.cancel(self._address, 1), visca.cancel(self._address, 2))
        if not self._send_stop((*cancel_frames, *frames)):
            raise DriverError("busy", f"{self._display_name}: both sockets of the camera stay busy")

    def inquire(self, inquiry: bytes, size: int) -> InquiryReply:
        """Return the answer to an inquiry, of `size` bytes. Raises: DriverError."""

        def match(reply: ViscaReply) -> _TimedReply | None:
            if isinstance(reply, InquiryAnswer) and len(reply.data) == size:
                return _TimedReply(reply=reply, t_ns=self._clock_ns())
            if isinstance(reply, ViscaError):
                with self._changed:
                    is_ours = not self._sockets.has_unacknowledged
                return _TimedReply(reply=reply, t_ns=self._clock_ns()) if is_ours else None
            return None

        def send_inquiry() -> _TimedReply:
            timeout_s = self._options.reply_timeout_s
            return self._bus_client.query(
                inquiry, match, timeout_s=timeout_s, attempts=INQUIRY_ATTEMPTS
            )

        self._ensure_prepared()
        timed_reply = self._reset_on_error(send_inquiry)
        if isinstance(timed_reply.reply, ViscaError):
            problem = timed_reply.reply.problem
            message = f"{self._display_name}: cannot answer {inquiry.hex(' ')}: {problem}"
            raise DriverError("protocol", message)
        return InquiryReply(data=timed_reply.reply.data, t_ns=timed_reply.t_ns)

    def close(self) -> None:
        """Detach from the bus. A second call does nothing."""
        self._bus_client.close()

    def _on_reply(self, reply: ViscaReply) -> None:
        """Take a reply that answers no inquiry. Called on the bus's thread."""
        with self._changed:
            if isinstance(reply, NetworkChange):
                self._reset_count += 1
            elif isinstance(reply, CommandAck | CommandCompleted | ViscaError):
                self._sockets.on_reply(reply)
            self._changed.notify_all()

    def _on_frame_sent(self, batch: list[SentCommand], frame: bytes) -> None:
        """Record a command that was sent. Called on the bus's thread."""
        is_cancel = len(frame) == CANCEL_PACKET_BYTES
        command = SentCommand(frame, cancelled_socket=frame[1] & 0x0F if is_cancel else None)
        with self._changed:
            batch.append(command)
            self._sockets.on_sent(command)

    def _await_acks(self, commands: list[SentCommand]) -> None:
        """Wait until the camera has replied to each command."""
        line_time_s = self._options.line_time_s(sum(len(command.frame) for command in commands))
        timeout_s = self._options.reply_timeout_s
        with self._changed:
            if self._changed.wait_for(
                lambda: all(command.state != "sent" for command in commands),
                line_time_s + timeout_s,
            ):
                return
            for command in commands:
                if command.state == "sent":
                    self._sockets.forget(command)
            self._reset_count += 1
        raise DriverError(
            "timeout", f"{self._display_name}: does not answer within {timeout_s:g} s"
        )

    def _send_stop(self, frames: tuple[bytes, ...]) -> bool:
        """Send a stop; return False if the camera had no socket for it."""
        batch: list[SentCommand] = []
        self._reset_on_error(
            lambda: self._bus_client.stop(
                *frames, on_frame_sent=partial(self._on_frame_sent, batch)
            )
        )
        with self._changed:
            # An equal stop of another thread, which was waiting, was sent for both.
            commands = self._pending_stop = batch or self._pending_stop
        self._await_acks(commands)
        return all(command.state != "full" for command in commands)

    def _ensure_prepared(self) -> None:
        """Number the chain and clear this camera's commands, unless that is done."""
        with self._prepare_lock:
            with self._changed:
                reset_count = self._reset_count
                if self._prepared_at_reset == reset_count:
                    return
            self._number_chain()
            timeout_s = self._options.reply_timeout_s
            self._bus_client.query(
                visca.if_clear(self._address), _as_clear_reply, timeout_s=timeout_s
            )
            with self._changed:
                self._sockets.clear()
                self._prepared_at_reset = reset_count

    def _number_chain(self) -> None:
        try:
            numbered = self._bus_client.query(
                visca.ADDRESS_SET, _as_chain_numbered, timeout_s=self._options.reply_timeout_s
            )
        except DriverError as error:
            if error.kind != "timeout":
                raise
            return  # over TCP, and behind some adapters, cameras are numbered already
        if self._address >= numbered.first_free_address:
            camera_count = numbered.first_free_address - 1
            message = (
                f"{self._display_name}: address = {self._address}, and the chain has {camera_count}"
            )
            raise DriverError("absent", f"{message} camera{'s' if camera_count > 1 else ''}")

    def _reset_on_error(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except DriverError:
            with self._changed:
                self._reset_count += 1
            raise

    def _raise_if_refused(self, commands: list[SentCommand]) -> None:
        for command in commands:
            if command.state == "refused" and command.cancelled_socket is None:
                message = (
                    f"{self._display_name}: refuses {command.frame.hex(' ')}: {command.problem}"
                )
                raise DriverError("unsupported", message)


def _as_chain_numbered(reply: ViscaReply) -> ChainNumbered | None:
    return reply if isinstance(reply, ChainNumbered) else None


def _as_clear_reply(reply: ViscaReply) -> ViscaReply | None:
    """Return the reply to a clear, which differs between cameras."""
    return reply if isinstance(reply, CommandAck | CommandCompleted | ViscaError) else None
