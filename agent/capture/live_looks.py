"""Live looks of a box: the lease, the receipt and the end of each."""

import threading
from collections.abc import Callable
from typing import Literal

import msgspec

from agent.capture.video_target import VideoTarget
from agent.commands.command import CommandProgressSink
from agent.commands.requester import CommandRejected, Requester
from agent.runtime.link_budget import SendPriority

LiveForm = Literal["pictures", "video"]
MAX_LOOK_S = 600.0
MAX_LOOKS = 16
"""Of a box. Each one that looks at the same pictures costs nothing more."""

EndReason = Literal[
    "expired", "extended", "stopped", "disconnected", "degraded", "camera", "link", "server"
]
"""Why a look has ended.

expired       its time is over
extended      the requester has requested it again: the later command has its end
stopped       on request, or because the agent stops
disconnected  the box lost its connection to the broker, so that no command could end it
degraded      the box is overloaded
camera        the camera's stream has begun again, or the camera is gone
link          the bytes of the day are used up
server        the video server refuses the stream, is silent, or has closed the connection
"""


class EndedLook(msgspec.Struct, frozen=True, kw_only=True):
    """A look that has ended. `sent` counts its pictures, or the packets of its video."""

    form: LiveForm
    reason: EndReason
    detail: str
    duration_s: float
    sent: int
    size_bytes: int


class LiveResult(msgspec.Struct, frozen=True, kw_only=True):
    """The looks at `camera` that have ended: that of the command, or those that it has stopped."""

    camera: str
    ended: tuple[EndedLook, ...]


class PictureLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The interval of a look's pictures, and the bytes of each at most."""

    interval_ns: int = 0
    max_bytes: int = 0


class Look:
    """One look from its begin to its end. `finish` and `report_progress` answer the command that holds it.

    `push` is the identity of the push of a video, the same for the looks that extend each other.
    """

    def __init__(
        self,
        camera: str,
        requester: Requester,
        content: PictureLimits | VideoTarget,
        *,
        begin_ns: int,
        until_ns: int,
        session: int,
        progress_sink: CommandProgressSink,
    ) -> None:
        """`session` is that of the connection to the broker."""
        self.camera = camera
        self.form: LiveForm = "pictures" if isinstance(content, PictureLimits) else "video"
        self.requester = requester
        self.begin_ns = begin_ns
        self.until_ns = until_ns
        self.session = session
        self.finish = progress_sink.finish
        self.report_progress = progress_sink.report_progress
        self.pictures = content if isinstance(content, PictureLimits) else PictureLimits()
        self.target = content if isinstance(content, VideoTarget) else None
        self.push = object()
        self.sent = 0
        self.size_bytes = 0

    @property
    def key(self) -> tuple[str, LiveForm, str]:
        """A requester has one look of each form at a camera."""
        return self.camera, self.form, self.requester.id

    @property
    def priority(self) -> SendPriority:
        """That of an incident, or of a view."""
        role = self.requester.certificate_role or self.requester.role
        return "emergency" if role == "incident" else "view"

    def count(self, size_bytes: int) -> None:
        """Count what was sent. Called by the thread that sends."""
        self.sent += 1
        self.size_bytes += size_bytes


class LiveLooks:
    """The looks that run. Thread-safe.

    `record_begin` writes the receipt before anything is sent, and raises OSError if it cannot;
    `record_end` never fails. Every look that has begun ends once, with both.
    """

    def __init__(
        self,
        record_begin: Callable[[Look], None],
        record_end: Callable[[Look, EndedLook], None],
        clock_ns: Callable[[], int],
    ) -> None:
        self._record_begin = record_begin
        self._record_end = record_end
        self._clock_ns = clock_ns
        self._lock = threading.Lock()
        self._looks: dict[tuple[str, LiveForm, str], Look] = {}

    def begin(self, look: Look) -> Look | None:
        """Begin a look, or extend the one of the same requester, form and camera, and return that one.

        For one thread. Raises: CommandRejected if there are too many, or if the receipt cannot be written.
        """
        with self._lock:
            if look.key not in self._looks and len(self._looks) >= MAX_LOOKS:
                raise CommandRejected("busy", f"{MAX_LOOKS} looks run already")
        try:
            self._record_begin(look)
        except OSError as error:
            raise CommandRejected(
                "failed", f"no look without its receipt, which cannot be written: {error}"
            ) from error
        with self._lock:
            earlier = self._looks.get(look.key)
            self._looks[look.key] = look
        if earlier is not None:
            self._finish(earlier, "extended", "by the same requester")
        return earlier

    def end(
        self, matches: Callable[[Look], bool], reason: EndReason, detail: str = ""
    ) -> tuple[EndedLook, ...]:
        """End the looks that match, and return them."""
        with self._lock:
            ending = [look for look in self._looks.values() if matches(look)]
            for look in ending:
                del self._looks[look.key]
        return tuple(self._finish(look, reason, detail) for look in ending)

    def find(self, matches: Callable[[Look], bool]) -> Look | None:
        """Return a look that matches, or None."""
        with self._lock:
            return next((look for look in self._looks.values() if matches(look)), None)

    def running(self, form: LiveForm | None = None) -> tuple[Look, ...]:
        """Return the looks that run, of one form or of both."""
        with self._lock:
            return tuple(look for look in self._looks.values() if form in (None, look.form))

    def _finish(self, look: Look, reason: EndReason, detail: str) -> EndedLook:
        ended = EndedLook(
            form=look.form,
            reason=reason,
            detail=detail,
            duration_s=round((self._clock_ns() - look.begin_ns) / 1e9, 1),
            sent=look.sent,
            size_bytes=look.size_bytes,
        )
        self._record_end(look, ended)
        result = LiveResult(camera=look.camera, ended=(ended,))
        look.finish(lambda: _answer(result, ended))
        return ended


def _answer(result: LiveResult, ended: EndedLook) -> LiveResult:
    """Return the answer to the command of a look. Raises: CommandRejected if nothing could be sent."""
    if ended.reason == "server" and not ended.sent:
        raise CommandRejected("unavailable", ended.detail)
    return result
