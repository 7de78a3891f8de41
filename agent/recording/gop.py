"""The groups of pictures of one file, each from a keyframe to the next: how long the open one may
become, and since when pictures are missing where the file was cut. Pure.
"""

from bisect import bisect_right

from drivers.media import Packet

MAX_GOP_NS = 60_000_000_000
MAX_GOP_BYTES = 64_000_000
"""What a group may have. It is in memory up to its end, a cut loses it whole, and no file ends within
one. Cameras that draw keyframes apart to save bytes have one in a few tens of seconds; a minute at
8 Mbit/s is 60 MB.
"""


class GopTracker:
    """The groups of one file, in order.

    Invariant: of all but the newest it is known how long the file is with them in it; of that one
    once it has ended.
    """

    def __init__(self) -> None:
        self._gop_begins_ns: list[int] = []
        self._gop_end_offsets: list[int] = []
        self._open_gop_bytes = 0

    def can_append(self, packet: Packet) -> bool:
        """Whether the open group may have this packet too. A keyframe begins another."""
        if packet.is_key or not self._gop_begins_ns:
            return True
        return (
            packet.t_ns - self._gop_begins_ns[-1] < MAX_GOP_NS
            and self._open_gop_bytes + len(packet.data) <= MAX_GOP_BYTES
        )

    def add(self, packet: Packet, written_bytes: int) -> None:
        """The muxer has taken a packet, and the file has so many bytes: where it was a keyframe, all
        of the groups before it.
        """
        if packet.is_key or not self._gop_begins_ns:
            if self._gop_begins_ns:
                self._gop_end_offsets.append(written_bytes)
            self._gop_begins_ns.append(packet.t_ns)
            self._open_gop_bytes = 0
        self._open_gop_bytes += len(packet.data)

    def finish(self, written_bytes: int) -> None:
        """The file has its last group too."""
        if self._gop_begins_ns:
            self._gop_end_offsets.append(written_bytes)

    def first_incomplete_ns(self, kept_bytes: int) -> int | None:
        """When the first group began that is not whole in what is left of the file; None where all
        are.
        """
        complete_count = bisect_right(self._gop_end_offsets, kept_bytes)
        return (
            self._gop_begins_ns[complete_count]
            if complete_count < len(self._gop_begins_ns)
            else None
        )
