"""Tracker of a file's groups of pictures, from keyframe to keyframe. Pure."""

from bisect import bisect_right

from drivers.media import Packet

MAX_GOP_NS = 60_000_000_000
MAX_GOP_BYTES = 64_000_000
"""Limits of one group. It is in memory until its end, a power cut loses it as a whole, and no file ends
within one. Cameras that save bytes by rare keyframes send one every few tens of seconds; a minute at
8 Mbit/s is 60 MB.
"""


class GopTracker:
    """Begin times and end offsets of the groups of one file, in order.

    Invariant: the end offset of every group but the newest is known; that of the newest once it ended.
    """

    def __init__(self) -> None:
        self._gop_begins_ns: list[int] = []
        self._gop_end_offsets: list[int] = []
        self._open_gop_bytes = 0

    def can_append(self, packet: Packet) -> bool:
        """Return True if the packet fits into the open group. A keyframe begins another."""
        if packet.is_key or not self._gop_begins_ns:
            return True
        return (
            packet.t_ns - self._gop_begins_ns[-1] < MAX_GOP_NS
            and self._open_gop_bytes + len(packet.data) <= MAX_GOP_BYTES
        )

    def add(self, packet: Packet, written_bytes: int) -> None:
        """Add a packet that the muxer accepted.

        `written_bytes` is the size of the file after it. After a keyframe these bytes include all
        groups before it.
        """
        if packet.is_key or not self._gop_begins_ns:
            if self._gop_begins_ns:
                self._gop_end_offsets.append(written_bytes)
            self._gop_begins_ns.append(packet.t_ns)
            self._open_gop_bytes = 0
        self._open_gop_bytes += len(packet.data)

    def finish(self, written_bytes: int) -> None:
        """End the last group."""
        if self._gop_begins_ns:
            self._gop_end_offsets.append(written_bytes)

    def first_incomplete_ns(self, kept_bytes: int) -> int | None:
        """Return the begin of the first group not whole within `kept_bytes`, or None."""
        complete_count = bisect_right(self._gop_end_offsets, kept_bytes)
        return (
            self._gop_begins_ns[complete_count]
            if complete_count < len(self._gop_begins_ns)
            else None
        )
