"""Single pictures of a film at given times, with the masks of its scene painted over them."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import av
import av.error
import msgspec

from drivers.av_stream import VideoSource, open_video_source
from drivers.masking import MaskPainter
from drivers.media import NS_PER_S, Frame, Polygon

_BACK_NS = (0, 10 * NS_PER_S, 24 * 3600 * NS_PER_S)
"""How long before a time the search for a keyframe begins, if an index has led to a later one."""
_NEAR_NS = 3 * NS_PER_S
"""A picture so soon after the one before is reached by decoding on, without a search."""


def read_stills(
    film: Path, masks: Sequence[Polygon], times_s: Sequence[float]
) -> Iterator[Frame | None]:
    """Yield the picture of a film at each of the rising times, or None if it cannot be decoded there.

    Raises: DriverError if the film cannot be opened, MaskError if a mask cannot be painted.
    """
    name = f"film {str(film)!r}"
    painter = MaskPainter(masks, name)
    with closing(open_video_source(str(film), name)) as source:
        search = _PictureSearch(source)
        for t_s in times_s:
            try:
                found = search.find(round(t_s * NS_PER_S))
            except av.error.FFmpegError:
                found = None
            if found is None:
                yield None
                continue
            y, u, v = painter.paint_planes(source.planes(found.picture))
            yield Frame(seq=0, t_ns=found.t_ns, y=y, u=u, v=v)


class _TimedPicture(msgspec.Struct, frozen=True):
    t_ns: int
    picture: av.VideoFrame


class _PictureSearch:
    """Finds pictures by time. Times are since the film's first packet, as those of drivers/camera/replay.py."""

    def __init__(self, source: VideoSource) -> None:
        self._source = source
        self._half_step_ns = round(NS_PER_S / source.info.fps / 2)
        first = next((packet for packet in source.packets() if not packet.is_corrupt), None)
        ticks = None if first is None else first.dts if first.pts is None else first.pts
        self._first_ticks = ticks or 0
        self._pictures: Iterator[_TimedPicture] = iter(())
        self._last: _TimedPicture | None = None

    def find(self, t_ns: int) -> _TimedPicture | None:
        """Return the picture that is shown at a time. Raises: PyAV's errors."""
        if self._last is not None and 0 <= t_ns + self._half_step_ns - self._last.t_ns < _NEAR_NS:
            return self._last if self._is_shown(self._last, t_ns) else self._advance_to(t_ns)
        for back_ns in _BACK_NS:
            wanted_ns = max(0, t_ns - back_ns)
            self._source.seek(self._first_ticks + self._source.ns_to_ticks(wanted_ns))
            self._pictures = self._decode()
            first = next(self._pictures, None)
            if first is not None and first.t_ns <= t_ns + self._half_step_ns:
                return first if self._is_shown(first, t_ns) else self._advance_to(t_ns)
        return None

    def _advance_to(self, t_ns: int) -> _TimedPicture | None:
        return next((one for one in self._pictures if self._is_shown(one, t_ns)), None)

    def _is_shown(self, timed: _TimedPicture, t_ns: int) -> bool:
        return timed.t_ns >= t_ns - self._half_step_ns

    def _decode(self) -> Iterator[_TimedPicture]:
        for packet in self._source.packets():
            for picture in self._source.decode(packet):
                ticks = picture.dts if picture.pts is None else picture.pts
                if ticks is None or picture.is_corrupt:
                    continue
                t_ns = self._source.ticks_to_ns(ticks - self._first_ticks)
                self._last = _TimedPicture(t_ns, picture)
                yield self._last
