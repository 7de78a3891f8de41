"""A recorded film as a camera: any file that FFmpeg opens.

```toml
[[camera]]
name = "north"
driver = "replay"
options = { path = "/var/lib/vigie/clips/street.mp4", pace = "real", loop = true }
```

`pace = "real"` gives the film as a camera would, each picture when it is due, and `t_ns` is the
CLOCK_BOOTTIME of that moment. `pace = "fast"` gives it as fast as it is read, and `t_ns` is the
film's own time, beginning at 0: two runs give the same.

In real pace the driver wakes when a picture that is wanted is due, and then gives all that became
due since: waking for each packet costs more than demuxing it. Where packets alone are wanted it
wakes twice a second.
"""

import threading
from collections.abc import Callable, Generator, Iterator
from typing import Annotated, Literal

import av.error
import msgspec

from drivers.av_stream import (
    NS_PER_S,
    FrameMaker,
    FramePick,
    Source,
    VideoPacket,
    driver_error,
    media_packet,
    open_source,
)
from drivers.contracts import Wanted
from drivers.errors import DriverError
from drivers.masking import MaskPainter
from drivers.media import Frame, Packet, StreamInfo

LONGEST_NAP_NS = NS_PER_S // 2


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`path`: the film. `loop`: begin again at its end, without a gap and without a step in time."""

    path: Annotated[str, msgspec.Meta(min_length=1)]
    pace: Literal["real", "fast"] = "real"
    loop: bool = False


def open_camera(
    name: str, options: Options, wanted: Wanted, clock_ns: Callable[[], int]
) -> "ReplayCamera":
    """Open the film. Raises DriverError: absent, or protocol where it is not a film."""
    return ReplayCamera(name, options, wanted, clock_ns)


class _Unit(msgspec.Struct, frozen=True, kw_only=True):
    """A demuxed packet and its place on the film's timeline, which goes on through all loops."""

    packet: VideoPacket
    pts_ns: int
    dts_ns: int


class ReplayCamera:
    """A film, once or in a loop. See the module for its two paces."""

    def __init__(
        self, name: str, options: Options, wanted: Wanted, clock_ns: Callable[[], int]
    ) -> None:
        self._what = f"camera {name!r}: film {options.path!r}"
        self._options = options
        self._wanted = wanted
        self._clock_ns = clock_ns
        self._closed = threading.Event()
        self._inside = threading.Lock()
        self._ready: Iterator[Packet | Frame] = iter(())
        self._burst: list[_Unit] = []
        self._burst_due_ns: int | None = None
        self._maker = FrameMaker(
            wanted.frames_fps, MaskPainter(wanted.masks, self._what, wanted.masks_now)
        )
        self._wake = FramePick(wanted.frames_fps)
        self._start_ns: int | None = None
        self._last_packet_ns = 0
        self._loop_ns = 0
        self._broken: Exception | None = None
        self._failed: DriverError | None = None
        self._source = self._open()
        self._info = self._source.info
        self._step_ns = round(NS_PER_S / self._info.fps)
        self._first_ticks: int | None = None
        self._units = self._all_units()

    @property
    def info(self) -> StreamInfo:
        """The film's parameters."""
        return self._info

    def read(self, timeout_s: float) -> Packet | Frame | None:
        """The next packet or frame; in real pace None where none is due within `timeout_s`."""
        while True:
            with self._inside:
                if self._closed.is_set():
                    raise DriverError("absent", f"{self._what}: is closed")
                media = self._next_media()
                if media is not None:
                    return media
                due_ns = self._burst_due_ns
            if due_ns is None:
                continue
            wait_s = max(0.0, (due_ns - self._clock_ns()) / NS_PER_S)
            self._closed.wait(min(wait_s, timeout_s))
            if self._clock_ns() < due_ns and not self._closed.is_set():
                return None

    def close(self) -> None:
        """Close the film; a waiting `read` ends at once."""
        self._closed.set()
        with self._inside:
            self._units.close()
            self._source.close()
            self._ready = iter(())
            self._burst.clear()

    def _next_media(self) -> Packet | Frame | None:
        """What is ready, or made ready: in fast pace what comes next, in real pace what is due."""
        try:
            media = next(self._ready, None)
            if media is None:
                self._advance()
                media = next(self._ready, None)
        except DriverError as error:
            self._failed = error
            raise
        except av.error.FFmpegError as error:
            self._failed = driver_error(error, self._what)
            raise self._failed from self._failed.__cause__
        return media

    def _advance(self) -> None:
        if self._failed is not None:
            raise self._failed
        if self._options.pace == "real":
            self._advance_in_real_pace()
        else:
            self._ready = self._media([self._next_unit()], base_ns=0)

    def _next_unit(self) -> _Unit:
        unit = next(self._units, None)
        if unit is None:
            raise DriverError("ended", f"{self._what}: played to its end")
        return unit

    def _advance_in_real_pace(self) -> None:
        if self._start_ns is None:
            self._start_ns = self._clock_ns()
        if self._burst_due_ns is None:
            self._burst_due_ns = self._start_ns + self._gather()
        if self._clock_ns() >= self._burst_due_ns:
            burst, self._burst, self._burst_due_ns = self._burst, [], None
            self._ready = self._media(burst, base_ns=self._start_ns)

    def _gather(self) -> int:
        """Demux up to the next picture that is wanted, a nap's length, or the film's end. Gives when
        all of it is due, in ns from the start.
        """
        due_ns = 0
        while True:
            unit = self._next_unit()
            self._burst.append(unit)
            due_ns = max(due_ns, unit.dts_ns, unit.pts_ns if self._wanted.frames_fps > 0 else 0)
            is_last = not unit.packet.size
            nap_ns = unit.dts_ns - self._burst[0].dts_ns
            if is_last or self._wake.take(unit.pts_ns) or nap_ns >= LONGEST_NAP_NS:
                return due_ns

    def _media(self, units: list[_Unit], base_ns: int) -> Iterator[Packet | Frame]:
        """The packets of a burst, then its frames. Each is decoded when it is its turn: a decoder
        keeps for ever the memory of all the pictures that were alive at one time.
        """
        for unit in units:
            if self._wanted.packets and unit.packet.size:
                self._last_packet_ns = max(self._last_packet_ns, unit.dts_ns)
                yield media_packet(
                    unit.packet,
                    t_ns=base_ns + self._last_packet_ns,
                    pts_ns=unit.pts_ns,
                    dts_ns=unit.dts_ns,
                )
        if self._wanted.frames_fps > 0:
            for unit in units:
                yield from self._frames(unit, base_ns)

    def _frames(self, unit: _Unit, base_ns: int) -> Iterator[Frame]:
        """Invariant: one broken packet at the very end is a film that was cut, and no error."""
        if unit.packet.size and self._broken is not None:
            at_s = (unit.pts_ns - self._loop_ns) / NS_PER_S
            message = f"{self._what}: is damaged before {at_s:.2f} s"
            raise DriverError("protocol", message) from self._broken
        try:
            yield from self._maker.frames(
                self._source,
                unit.packet,
                unit.pts_ns,
                lambda ticks: self._film_ns(ticks) + self._loop_ns,
                lambda film_ns: base_ns + max(0, film_ns),
            )
        except av.error.InvalidDataError as error:
            self._broken = error

    def _all_units(self) -> Generator[_Unit, None, None]:
        """The film's packets, loop after loop; an empty one at each end drains the decoder.

        Invariant: each loop begins where the one before it ended, so no time steps back.
        """
        while True:
            end_ns = yield from self._one_loop()
            if not self._options.loop:
                return
            if end_ns == 0:
                raise DriverError("protocol", f"{self._what}: holds no picture to loop over")
            self._loop_ns += end_ns
            self._broken = None
            self._source.close()
            self._source = self._open()

    def _one_loop(self) -> Generator[_Unit, None, int]:
        """The film once, and then its length in ns.

        AVI may leave times out: then a frame's length is added. A packet that is flagged as cut
        short is left out. The length is such that decoding times go on rising in the next loop.
        """
        pts_ns = dts_ns = -self._step_ns
        end_ns = 0
        first_dts_ns: int | None = None
        for packet in self._source.packets():
            if packet.is_corrupt:
                continue
            if packet.size:
                ticks = packet.dts if packet.pts is None else packet.pts
                pts_ns = pts_ns + self._step_ns if ticks is None else self._film_ns(ticks)
                dts_ns = pts_ns if packet.dts is None else self._film_ns(packet.dts)
                length_ns = self._source.ns(packet.duration or 0) or self._step_ns
                first_dts_ns = dts_ns if first_dts_ns is None else first_dts_ns
                end_ns = max(end_ns, pts_ns + length_ns, dts_ns + length_ns - first_dts_ns)
            yield _Unit(packet=packet, pts_ns=self._loop_ns + pts_ns, dts_ns=self._loop_ns + dts_ns)
        return end_ns

    def _film_ns(self, ticks: int) -> int:
        """A timestamp of the film as ns from its first packet's presentation."""
        if self._first_ticks is None:
            self._first_ticks = ticks
        return self._source.ns(ticks - self._first_ticks)

    def _open(self) -> Source:
        return open_source(self._options.path, self._what)
