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
LOOK_S = 0.005
"""How often a head is asked whether it has something to say by itself, while it has."""
READ_BYTES = 4096

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Side(Protocol):
    """What speaks a protocol at the heads' end of a line. One thread calls it at a time."""

    def exchange(self, data: bytes, t_ns: int) -> bytes:
        """Hear the bytes that have come since the last call, perhaps none, and say what is to be
        said at `t_ns`: an answer, or what has become due.
        """
        ...

    @property
    def owes(self) -> bool:
        """Whether it will have something to say by itself, such as that a motion is completed."""
        ...


class LineNoise(msgspec.Struct, frozen=True, kw_only=True):
    """What a line does to bytes. By chance each is dropped, has one of its bits flipped, or comes
    twice; all are held up for `delay_s`.
    """

    drop: Share = 0.0
    flip: Share = 0.0
    repeat: Share = 0.0
    delay_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0

    def over(self, data: bytes, chance: random.Random) -> bytes:
        """What arrives of these bytes."""
        arrived = bytearray()
        for sent in data:
            if chance.random() < self.drop:
                continue
            flip = chance.random() < self.flip
            byte = sent ^ (1 << chance.randrange(8)) if flip else sent
            arrived += bytes([byte]) * (2 if chance.random() < self.repeat else 1)
        return bytes(arrived)


QUIET = LineNoise()


class PtyHead:
    """A line with heads at its end, in a thread of its own, from the moment it is made.

    `link` becomes the symlink that a driver opens. With `baud` the line takes as long for its bytes
    as at that speed. `clock_ns` is the heads' clock, which a test may hold. `seed` is the noise's.
    """

    def __init__(
        self,
        link: Path,
        sides: Sequence[Side],
        clock_ns: Callable[[], int],
        *,
        baud: int | None = None,
        seed: int = 0,
    ) -> None:
        self.link = link
        self._sides = tuple(sides)
        self._clock_ns = clock_ns
        self._byte_s = BITS_PER_BYTE / baud if baud else 0.0
        self._chance = random.Random(seed)  # noqa: S311 - noise that can be had again
        self._to_heads = self._to_host = QUIET
        self._mute = False
        self._line: _Line | None = None
        self.plug_in()

    def disturb(self, *, to_heads: LineNoise = QUIET, to_host: LineNoise = QUIET) -> None:
        """From now on the line does this; without arguments it is quiet again."""
        self._to_heads, self._to_host = to_heads, to_host

    def mute(self, *, on: bool) -> None:
        """Whether the heads' answers are lost. They still hear."""
        self._mute = on

    def hang_up(self) -> None:
        """Pull the adapter: who has the port open loses it, and the path leads nowhere."""
        line, self._line = self._line, None
        if line is not None:
            self.link.unlink(missing_ok=True)
            line.end()

    def plug_in(self) -> None:
        """Plug the adapter in: the path leads to a new terminal."""
        if self._line is None:
            self._line = _Line(self._carry, lambda: any(side.owes for side in self._sides))
            aside = self.link.with_name(self.link.name + ".new")
            aside.unlink(missing_ok=True)
            aside.symlink_to(self._line.port)
            aside.replace(self.link)

    def settle(self, timeout_s: float) -> bool:
        """Wait until the heads have heard all that was sent, and have said what is due by now."""
        line = self._line
        return line is None or line.settle(timeout_s)

    def close(self) -> None:
        """Pull the adapter for good. A second call does nothing."""
        self.hang_up()

    def _carry(self, data: bytes, ended: threading.Event) -> bytes:
        """Bytes from the host to the heads, and what comes back of their answers."""
        heard = self._over(data, self._to_heads, ended)
        t_ns = self._clock_ns()
        said = b"".join([side.exchange(heard, t_ns) for side in self._sides])
        return b"" if self._mute else self._over(said, self._to_host, ended)

    def _over(self, data: bytes, noise: LineNoise, ended: threading.Event) -> bytes:
        if not data:
            return data
        ended.wait(len(data) * self._byte_s + noise.delay_s)
        return data if noise == QUIET else noise.over(data, self._chance)


class _Line:
    """One pseudo-terminal, from plugging in to pulling out."""

    def __init__(
        self,
        carry: Callable[[bytes, threading.Event], bytes],
        owed: Callable[[], bool],
    ) -> None:
        self._carry = carry
        self._owed = owed
        self._ended = threading.Event()
        self._settling: deque[threading.Event] = deque()
        # The terminal's own end stays open here: while nobody has it open, a master that is read
        # fails, and what was written is lost.
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.port = os.ttyname(self._slave)
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._run, name=f"line {self.port}", daemon=True)
        self._thread.start()

    def settle(self, timeout_s: float) -> bool:
        """Whether all that had been sent by now was carried within `timeout_s`."""
        settled = threading.Event()
        self._settling.append(settled)
        os.write(self._wake_write, b".")
        return settled.wait(timeout_s)

    def end(self) -> None:
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
                ready = {key.fd for key, _ in selector.select(LOOK_S if self._owed() else None)}
                data = os.read(self._master, READ_BYTES) if self._master in ready else b""
                said = self._carry(data, self._ended)
                # Where nobody reads, what is said is lost, as on a real line.
                with contextlib.suppress(BlockingIOError):
                    os.write(self._master, said)
                if not data and self._wake_read in ready:
                    os.read(self._wake_read, READ_BYTES)
                    while self._settling:
                        self._settling.popleft().set()
