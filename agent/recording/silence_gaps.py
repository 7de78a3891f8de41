"""Gaps in the footage of a camera that delivers nothing, reported in parts while they last. Pure."""

import msgspec

from agent.runtime.backoff import Backoff
from agent.runtime.pause import Pause

SILENT_AFTER_S = 10.0
"""As for the event `camera_lost`."""
FIRST_PART_S, MAX_PART_S = 60.0, 3600.0
"""As the recorder's own gaps: a power cut erases a minute at the begin, and later an hour at most."""

CAMERA_LOST_REASON = "the camera delivered nothing"
MASKED_REASON = "the camera stayed closed: its masks could not be applied"


class SilenceGap(msgspec.Struct, frozen=True, kw_only=True):
    """A gap, or a part of it."""

    begin_ns: int
    end_ns: int
    reason: str


class SilenceGaps:
    """The gaps of one camera. Called by one thread."""

    def __init__(self, since_ns: int) -> None:
        """`since_ns` is the time from which a camera that has delivered nothing yet is silent."""
        self._since_ns = since_ns
        self._reported_ns: int | None = None
        """The end of the reported parts, or the begin of the gap; None if there is no gap."""
        self._reason = CAMERA_LOST_REASON
        self._part_pause = Pause()
        self._part_backoff = Backoff(FIRST_PART_S, MAX_PART_S)

    def step(self, t_ns: int, last_media_ns: int | None, *, is_masked: bool) -> SilenceGap | None:
        """Take the time of the last packet or frame. Return what is to be reported now, or None.

        `is_masked`: the camera is closed because its masks cannot be applied.
        """
        media_ns = self._since_ns if last_media_ns is None else last_media_ns
        is_silent = t_ns - media_ns >= SILENT_AFTER_S * 1e9
        reason = MASKED_REASON if is_masked else CAMERA_LOST_REASON
        if self._reported_ns is None:
            if is_silent:
                self._reported_ns, self._reason = media_ns, reason
                self._part_backoff.reset()
                self._part_pause.begin(t_ns, self._part_backoff.next_s())
            return None
        if not is_silent:
            begin_ns, self._reported_ns = self._reported_ns, None
            return self._gap(begin_ns, media_ns)
        if reason == self._reason and not self._part_pause.is_over(t_ns):
            return None
        self._part_pause.begin(t_ns, self._part_backoff.next_s())
        begin_ns, self._reported_ns = self._reported_ns, t_ns
        gap = self._gap(begin_ns, t_ns)
        self._reason = reason
        return gap

    def _gap(self, begin_ns: int, end_ns: int) -> SilenceGap | None:
        if end_ns <= begin_ns:
            return None
        return SilenceGap(begin_ns=begin_ns, end_ns=end_ns, reason=self._reason)
