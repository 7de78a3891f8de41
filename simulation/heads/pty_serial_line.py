"""A simulated serial line: a pseudo-terminal with simulated heads at its far end.

A path, such as a driver's `port`, is made a symlink to the terminal, as udev does it for an adapter
under /dev/serial/by-id. The adapter can be unplugged and plugged in again under the same path, and
the line can lose, damage, repeat and delay bytes. Several heads may share one line.
"""

import contextlib
import os
import random
import selectors
import threading
import tty
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Protocol

import msgspec

BITS_PER_BYTE = 10
"""Eight bits, a start bit and a stop bit."""
POLL_INTERVAL_S = 0.005
"""The interval at which a head with pending output is polled."""
READ_BYTES = 4096

Probability = Annotated[float, msgspec.Meta(ge=0, le=1)]


class SimulatedDevice(Protocol):
    """The protocol side of a simulated head. Called by one thread at a time."""

    def exchange(self, data: bytes, t_ns: int) -> bytes:
        """Take the bytes since the last call, perhaps none; return those to send at `t_ns`."""
        ...

    @property
    def has_pending_output(self) -> bool:
        """Whether it will send bytes without being queried, such as a completion."""
        ...


class LineNoise(msgspec.Struct, frozen=True, kw_only=True):
    """The disturbances of a line: a byte may be dropped, have a bit flipped, or be repeated.

    All bytes are delayed by `delay_s`.
    """

    drop: Probability = 0.0
    flip: Probability = 0.0
    repeat: Probability = 0.0
    delay_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0

    def apply(self, data: bytes, rng: random.Random) -> bytes:
        """Return the bytes that arrive."""
        arrived = bytearray()
        for sent_byte in data:
            if rng.random() < self.drop:
                continue
            flip = rng.random() < self.flip
            byte = sent_byte ^ (1 << rng.randrange(8)) if flip else sent_byte
            arrived += bytes([byte]) * (2 if rng.random() < self.repeat else 1)
        return bytes(arrived)


NO_NOISE = LineNoise()


class PtySerialLine:
    """A line with heads at its end, in a thread of its own, from its creation.

    `link` becomes the symlink that a driver opens. With `baud` the line takes as long for its bytes
    as at that speed. `clock_ns` is the heads' clock. `seed` is that of the noise.
    """

    def __init__(
        self,
        link: Path,
        devices: Sequence[SimulatedDevice],
        clock_ns: Callable[[], int],
        *,
        baud: int | None = None,
        seed: int = 0,
    ) -> None:
        self.link = link
        self._devices = tuple(devices)
        self._clock_ns = clock_ns
        self._byte_s = BITS_PER_BYTE / baud if baud else 0.0
        self._rng = random.Random(seed)  # noqa: S311 - noise that can be had again
        self._noise_to_heads = self._noise_to_host = NO_NOISE
        self._is_muted = False
        self._pty: _PtyPair | None = None
        self.plug_in()

    def set_noise(self, *, to_heads: LineNoise = NO_NOISE, to_host: LineNoise = NO_NOISE) -> None:
        """Set the noise from now on; without arguments there is none."""
        self._noise_to_heads, self._noise_to_host = to_heads, to_host

    def set_muted(self, *, on: bool) -> None:
        """Drop the heads' answers, or no more. The heads still receive."""
        self._is_muted = on

    def unplug(self) -> None:
        """Unplug the adapter: an open port is lost, and the path is removed."""
        pty, self._pty = self._pty, None
        if pty is not None:
            self.link.unlink(missing_ok=True)
            pty.close()

    def plug_in(self) -> None:
        """Plug the adapter in: the path leads to a new terminal."""
        if self._pty is None:
            self._pty = _PtyPair(
                self._exchange, lambda: any(side.has_pending_output for side in self._devices)
            )
            new_link = self.link.with_name(self.link.name + ".new")
            new_link.unlink(missing_ok=True)
            new_link.symlink_to(self._pty.port)
            new_link.replace(self.link)

    def wait_until_idle(self, timeout_s: float) -> bool:
        """Wait until the heads have received everything, and sent their answers."""
        pty = self._pty
        return pty is None or pty.wait_until_idle(timeout_s)

    def close(self) -> None:
        """Unplug the adapter. A second call does nothing."""
        self.unplug()

    def _exchange(self, data: bytes, ended: threading.Event) -> bytes:
        """Pass bytes from the host to the heads, and return the answers that arrive."""
        received = self._transmit(data, self._noise_to_heads, ended)
        t_ns = self._clock_ns()
        answers = b"".join([side.exchange(received, t_ns) for side in self._devices])
        return b"" if self._is_muted else self._transmit(answers, self._noise_to_host, ended)

    def _transmit(self, data: bytes, noise: LineNoise, ended: threading.Event) -> bytes:
        if not data:
            return data
        ended.wait(len(data) * self._byte_s + noise.delay_s)
        return data if noise == NO_NOISE else noise.apply(data, self._rng)


class _PtyPair:
    """One pseudo-terminal, from plugging in to unplugging."""

    def __init__(
        self,
        exchange: Callable[[bytes, threading.Event], bytes],
        has_pending_output: Callable[[], bool],
    ) -> None:
        self._exchange = exchange
        self._has_pending_output = has_pending_output
        self._ended = threading.Event()
        self._idle_waiters: deque[threading.Event] = deque()
        # The slave end stays open here: if it were closed, reads of the master would fail, and
        # written bytes would be lost.
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.port = os.ttyname(self._slave)
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._run, name=f"line {self.port}", daemon=True)
        self._thread.start()

    def wait_until_idle(self, timeout_s: float) -> bool:
        """Return whether all bytes sent by now were carried within `timeout_s`."""
        settled = threading.Event()
        self._idle_waiters.append(settled)
        os.write(self._wake_write, b".")
        return settled.wait(timeout_s)

    def close(self) -> None:
        """Hang up."""
        self._ended.set()
        os.write(self._wake_write, b".")
        self._thread.join()
        for descriptor in (self._master, self._slave, self._wake_read, self._wake_write):
            os.close(descriptor)

    def _run(self) -> None:
        with selectors.PollSelector() as selector:
            selector.register(self._master, selectors.EVENT_READ)
            selector.register(self._wake_read, selectors.EVENT_READ)
            while not self._ended.is_set():
                ready = {
                    key.fd
                    for key, _ in selector.select(
                        POLL_INTERVAL_S if self._has_pending_output() else None
                    )
                }
                data = os.read(self._master, READ_BYTES) if self._master in ready else b""
                answers = self._exchange(data, self._ended)
                # Without a reader the bytes are lost, as on a real line.
                with contextlib.suppress(BlockingIOError):
                    os.write(self._master, answers)
                if not data and self._wake_read in ready:
                    os.read(self._wake_read, READ_BYTES)
                    while self._idle_waiters:
                        self._idle_waiters.popleft().set()
