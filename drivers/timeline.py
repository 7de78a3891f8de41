"""From a live stream's own time to CLOCK_BOOTTIME. Pure: arrival times are arguments."""

import msgspec

MAX_JUMP_NS = 5_000_000_000
"""A stream's time that is further ahead of the clock has been reset."""

OFFSET_WINDOW_NS = 30_000_000_000


class PacketTimes(msgspec.Struct, frozen=True, kw_only=True):
    """A packet's times on the camera's own timeline, which begins at 0 and never steps back."""

    pts_ns: int
    dts_ns: int
    arrival_ns: int
    shift_ns: int
    offset_ns: int

    def stream_ns(self, raw_ns: int) -> int:
        """Return a time of the stream on the camera's timeline."""
        return raw_ns + self.shift_ns

    def boottime_ns(self, stream_ns: int) -> int:
        """Return the boot time of a time on the camera's timeline, at most the packet's arrival."""
        return min(self.arrival_ns, stream_ns + self.offset_ns)


class StreamTimeline:
    """Maps a stream's time to CLOCK_BOOTTIME by the smallest delay.

    The network and reading in bursts delay a packet and never advance it: the smallest difference
    of arrival and stream time is the best estimate. The two clocks drift apart (50 ppm is 4 s a
    day), so the smallest difference is taken over the last 30 to 60 s.
    """

    def __init__(self, step_ns: int) -> None:
        self._step_ns = step_ns
        self._shift_ns: int | None = None
        self._raw_ns = 0
        self._dts_ns = -1
        self._arrival_ns = 0
        self._window_end_ns = 0
        self._min_offset_ns: int | None = None
        self._previous_min_offset_ns: int | None = None

    def map_packet(self, pts_ns: int | None, dts_ns: int | None, arrival_ns: int) -> PacketTimes:
        """Return a packet's times. Call in decoding order. Missing times are filled in.

        Invariant: decoding times rise strictly, and no picture is presented before it is decoded.
        """
        raw_ns = dts_ns if dts_ns is not None else pts_ns
        if raw_ns is None:
            raw_ns = self._raw_ns if self._shift_ns is None else self._raw_ns + self._step_ns
        if self._shift_ns is None:
            self._shift_ns = -raw_ns
        elif not 0 <= raw_ns - self._raw_ns <= arrival_ns - self._arrival_ns + MAX_JUMP_NS:
            self._shift_ns = self._dts_ns + self._step_ns - raw_ns
            self._min_offset_ns = self._previous_min_offset_ns = None
        self._raw_ns, self._arrival_ns = raw_ns, arrival_ns
        self._dts_ns = max(self._dts_ns + 1, raw_ns + self._shift_ns)
        presented_ns = self._dts_ns if pts_ns is None else pts_ns + self._shift_ns
        return PacketTimes(
            pts_ns=max(self._dts_ns, presented_ns),
            dts_ns=self._dts_ns,
            arrival_ns=arrival_ns,
            shift_ns=self._shift_ns,
            offset_ns=self._update_min_offset(arrival_ns - self._dts_ns, arrival_ns),
        )

    def _update_min_offset(self, difference_ns: int, arrival_ns: int) -> int:
        """Return the smallest difference of this window and the one before."""
        if arrival_ns >= self._window_end_ns:
            self._window_end_ns = arrival_ns + OFFSET_WINDOW_NS
            self._previous_min_offset_ns, self._min_offset_ns = self._min_offset_ns, None
        self._min_offset_ns = (
            difference_ns
            if self._min_offset_ns is None
            else min(self._min_offset_ns, difference_ns)
        )
        return (
            self._min_offset_ns
            if self._previous_min_offset_ns is None
            else min(self._min_offset_ns, self._previous_min_offset_ns)
        )
