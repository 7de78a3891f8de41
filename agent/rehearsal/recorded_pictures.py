"""Pictures of recorded footage for detection, with the masks of their recording. Run in the child."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import av
import av.error

from agent.base.clock import unix_ns
from agent.recording.catalogue import FootageEntry
from agent.recording.mask_store import MaskingError, masks_to_apply
from agent.recording.recorded_span import is_sealed
from agent.reporting.rehearsal import MAX_LEFT_OUT, MAX_REASON_CHARS
from drivers.av_stream import frame_planes, open_video_source
from drivers.errors import DriverError
from drivers.masking import MaskPainter
from drivers.media import Frame, Polygon

SEALED = "it is sealed, and its pictures stay so on this box"


class RecordedPictures:
    """The pictures of a span of plain segments. `left_out` are the segments that were not read, with the reason.

    `cpu_ns` is the processor time of decoding so far.
    """

    def __init__(
        self,
        entries: Sequence[FootageEntry],
        left_out: dict[str, str],
        masks_dir: Path,
        begin_ns: int,
        end_ns: int,
    ) -> None:
        self._entries = [entry for entry in entries if not is_sealed(entry)]
        self.left_out = left_out | {
            entry.segment_name: SEALED for entry in entries if is_sealed(entry)
        }
        self._masks_dir = masks_dir
        self._begin_ns, self._end_ns = begin_ns, end_ns
        self._painter, self._painted_masks = MaskPainter((), ""), tuple[Polygon, ...]()
        self._seq = 0
        self.covered_s = 0.0
        self.cpu_ns = 0

    @property
    def is_empty(self) -> bool:
        """Whether there is no segment to read."""
        return not self._entries

    def read(
        self, is_wanted: Callable[[int], bool], on_work: Callable[[float], None]
    ) -> Iterator[Frame]:
        """Yield the pictures in the order of time. `t_ns` is UTC in nanoseconds since 1970.

        `is_wanted` is asked with the time of each picture; `on_work` gets the part that was read, before each packet.
        """
        for number, entry in enumerate(self._entries):
            begin_ratio, end_ratio = (at / len(self._entries) for at in (number, number + 1))
            try:
                yield from self._read_segment(entry, is_wanted, on_work, begin_ratio, end_ratio)
            except (DriverError, MaskingError, av.error.FFmpegError, OSError) as error:
                # A segment may be evicted meanwhile.
                self.left_out[entry.segment_name] = str(error)

    def named_left_out(self) -> dict[str, str]:
        """Return the segments that were left out, as many as a report names."""
        named = list(self.left_out.items())[:MAX_LEFT_OUT]
        return {name: reason[:MAX_REASON_CHARS] for name, reason in named}

    def _read_segment(
        self,
        entry: FootageEntry,
        is_wanted: Callable[[int], bool],
        on_work: Callable[[float], None],
        begin_ratio: float,
        end_ratio: float,
    ) -> Iterator[Frame]:
        """Raises: DriverError, MaskingError, OSError."""
        if entry.closed is None:
            return
        segment_begin_ns, duration_ns = unix_ns(entry.begin), max(1, entry.closed.duration_ns)
        self._use_masks(masks_to_apply(self._masks_dir, [entry.closed]), entry.segment_name)
        video = open_video_source(str(entry.path), entry.segment_name)
        try:
            for packet in video.packets():
                read_ns = 0 if packet.dts is None else video.ticks_to_ns(packet.dts)
                part = min(1.0, max(0.0, read_ns / duration_ns))
                on_work(begin_ratio + part * (end_ratio - begin_ratio))
                start_ns = time.process_time_ns()
                pictures: list[av.VideoFrame] = []
                with contextlib.suppress(av.error.InvalidDataError):
                    pictures = video.decode(packet)
                self.cpu_ns += time.process_time_ns() - start_ns
                for picture in pictures:
                    t_ns = segment_begin_ns + video.ticks_to_ns(picture.pts or 0)
                    is_in_span = self._begin_ns <= t_ns < self._end_ns
                    if is_in_span and not picture.is_corrupt and is_wanted(t_ns):
                        yield self._make_frame(picture, t_ns)
        finally:
            video.close()
        covered_ns = min(self._end_ns, segment_begin_ns + duration_ns) - max(
            self._begin_ns, segment_begin_ns
        )
        self.covered_s += max(0, covered_ns) / 1e9

    def _use_masks(self, masks: tuple[Polygon, ...], segment_name: str) -> None:
        """Raises: MaskError."""
        if masks != self._painted_masks:
            self._painter, self._painted_masks = MaskPainter(masks, segment_name), masks

    def _make_frame(self, picture: av.VideoFrame, t_ns: int) -> Frame:
        start_ns = time.process_time_ns()
        y, u, v = self._painter.paint_planes(frame_planes(picture))
        self.cpu_ns += time.process_time_ns() - start_ns
        self._seq += 1
        return Frame(seq=self._seq, t_ns=t_ns, y=y, u=u, v=v)
