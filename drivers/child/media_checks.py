"""Checks of what a camera's child sends, before it is used."""

from collections.abc import Callable

from drivers.child import messages
from drivers.errors import DriverError
from drivers.media import NS_PER_S, Packet

MAX_FPS = 1000.0
MAX_EXTRADATA_BYTES = 65_536
MAX_CODEC_CHARS = 32
MAX_AHEAD_NS = NS_PER_S
"""A driver may put two pictures of one time a tick apart."""


class MediaChecks:
    """The contract of a Camera, as far as a parser that was taken over could break it.

    Each method raises DriverError `crashed`. Times are of CLOCK_BOOTTIME, and none is in the future: a forged
    one would end up in the names and the receipts of footage.
    """

    def __init__(self, display_name: str, clock_ns: Callable[[], int]) -> None:
        self._display_name = display_name
        self._clock_ns = clock_ns
        self._last_packet_ns = 0
        self._last_dts_ns = -1
        self._last_frame_ns = 0
        self._last_seq = -1

    def check_opened(self, opened: messages.Opened, *, is_first: bool) -> None:
        """Check the parameters of a stream."""
        info = opened.info
        self._require(
            is_first
            and 0 < info.fps <= MAX_FPS
            and 0 < info.width_px <= messages.MAX_SIDE_PX
            and 0 < info.height_px <= messages.MAX_SIDE_PX
            and len(info.extradata) <= MAX_EXTRADATA_BYTES
            and len(info.codec) <= MAX_CODEC_CHARS
            and info.codec.replace("_", "").isalnum(),
            "parameters",
        )

    def check_packet(self, packet: Packet) -> None:
        """Check a packet's times."""
        self._require(
            self._last_dts_ns < packet.dts_ns <= packet.pts_ns
            and self._last_packet_ns <= packet.t_ns <= self._latest_ns(),
            "times of a packet",
        )
        self._last_dts_ns, self._last_packet_ns = packet.dts_ns, packet.t_ns

    def check_frame(self, ready: messages.FrameReady, slots: int) -> None:
        """Check a frame's place and times; `slots` is 0 if no frame was requested."""
        self._require(ready.slot < slots, "place of a frame")
        self._require(
            self._last_seq < ready.seq and self._last_frame_ns <= ready.t_ns <= self._latest_ns(),
            "times of a frame",
        )
        self._last_seq, self._last_frame_ns = ready.seq, ready.t_ns

    def check_keyframe(self, query: messages.KeyframeQuery, slots: int) -> None:
        """Check a keyframe's place and time; `slots` is 0 if no keyframe is watched."""
        self._require(query.slot < slots, "place of a keyframe")
        self._require(query.t_ns <= self._latest_ns(), "time of a keyframe")

    def check_loading(self, *, has_network: bool) -> None:
        """Check that a network was to be loaded: meanwhile a silent camera is no fault, and the progress is logged."""
        self._require(has_network, "progress of a network")

    def _latest_ns(self) -> int:
        return self._clock_ns() + MAX_AHEAD_NS

    def _require(self, holds: bool, what: str) -> None:  # noqa: FBT001 - a condition
        if not holds:
            raise DriverError("crashed", f"{self._display_name}: its process sends wrong {what}")
