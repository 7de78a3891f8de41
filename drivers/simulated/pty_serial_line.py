"""The far end of a serial line: a pseudo-terminal whose master is read by simulated heads.

A path, such as a driver's `port`, is made a symlink to the terminal, as udev does it for an adapter
under /dev/serial/by-id. The adapter can be pulled and plugged in again under the same path, and the
line can lose, damage, repeat and delay bytes. Several heads may hang on one line.
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
"""How often a head is asked whether it has something to say by itself, while it has."""
READ_BYTES = 4096

Probability = Annotated[float, msgspec.Meta(ge=0, le=1)]


class SimulatedDevice(Protocol):
    """What speaks a protocol at the heads' end of a line. One thread calls it at a time."""

    def exchange(self, data: bytes, t_ns: int) -> bytes:
        """Hear the bytes that have come since the last call, perhaps none, and say what is to be
        said at `t_ns`: an answer, or what has become due.
        """
        ...

    @property
    def has_pending_output(self) -> bool:
        """Whether it will have something to say by itself, such as that a motion is completed."""
        ...


class LineNoise(msgspec.Struct, frozen=True, kw_only=True):
    """What a line does to bytes. By chance each is dropped, has one of its bits flipped, or comes
    twice; all are held up for `delay_s`.
    """

    drop: Probability = 0.0
    flip: Probability = 0.0
    repeat: Probability = 0.0
    delay_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0

    def apply(self, data: bytes, rng: random.Random) -> bytes:
        """What arrives of these bytes."""
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
    """A line with heads at its end, in a thread of its own, from the moment it is made.

    `link` becomes the symlink that a driver opens. With `baud` the line takes as long for its bytes
    as at that speed. `clock_ns` is the heads' clock, which a test may hold. `seed` is the noise's.
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
        """From now on the line does this; without arguments it is quiet again."""
        self._noise_to_heads, self._noise_to_host = to_heads, to_host

    def set_muted(self, *, on: bool) -> None:
        """Whether the heads' answers are lost. They still hear."""
        self._is_muted = on

    def unplug(self) -> None:
        """Pull the adapter: who has the port open loses it, and the path leads nowhere."""
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
        """Wait until the heads have heard all that was sent, and have said what is due by now."""
        pty = self._pty
        return pty is None or pty.wait_until_idle(timeout_s)

    def close(self) -> None:
        """Pull the adapter for good. A second call does nothing."""
        self.unplug()

    def _exchange(self, data: bytes, ended: threading.Event) -> bytes:
        """Bytes from the host to the heads, and what comes back of their answers."""
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
    """One pseudo-terminal, from plugging in to pulling out."""

    def __init__(
        self,
        exchange: Callable[[bytes, threading.Event], bytes],
        has_pending_output: Callable[[], bool],
    ) -> None:
        self._exchange = exchange
        self._has_pending_output = has_pending_output
        self._ended = threading.Event()
        self._idle_waiters: deque[threading.Event] = deque()
        # The terminal's own end stays open here: while nobody has it open, a master that is read
        # fails, and what was written is lost.
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.port = os.ttyname(self._slave)
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._run, name=f"line {self.port}", daemon=True)
        self._thread.start()

    def wait_until_idle(self, timeout_s: float) -> bool:
        """Whether all that had been sent by now was carried within `timeout_s`."""
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
                # Where nobody reads, what is said is lost, as on a real line.
                with contextlib.suppress(BlockingIOError):
                    os.write(self._master, answers)
                if not data and self._wake_read in ready:
                    os.read(self._wake_read, READ_BYTES)
                    while self._idle_waiters:
                        self._idle_waiters.popleft().set()
