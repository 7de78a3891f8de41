"""Pictures of incidents: one of each camera every few seconds, within a rate of bytes."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import msgspec

from agent.base.model import IncidentOutcome
from agent.capture.snapshot_command import FRAME_TIMEOUT_S, CameraAccess, encode_within
from agent.commands.requester import CommandRejected
from agent.incident.order import Permits
from agent.incident.record import IncidentRecord
from agent.runtime.pause import Pause
from drivers.media import Frame

log = logging.getLogger(__name__)

FAILED_AFTER_S = 30.0
"""Without a frame. Longer than FRAME_TIMEOUT_S: the keyframes of a still street may be ten seconds apart."""

SendPicture = Callable[[str, bytes, int, str], None]
"""Sends a picture: the camera, the JPEG, the frame's time, and the id of the incident's event."""


class _Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """The pictures of one camera: those of the incident that wants them most often."""

    event: str
    every_s: float
    max_bytes: int
    rate_kbit_s: int


class IncidentPictures:
    """Requests frames, encodes and sends them. Used by one thread, except for the callbacks of `request_frame`.

    Several incidents share the pictures of a camera. `post` runs a function on the incidents' own thread.
    """

    def __init__(
        self,
        cameras: Mapping[str, CameraAccess],
        encode: Callable[[Frame, int], bytes],
        send: SendPicture,
        clock_ns: Callable[[], int],
        post: Callable[[Callable[[], None]], None],
        permits: Permits,
    ) -> None:
        self._cameras = dict(cameras)
        self._encode = encode
        self._send = send
        self._clock_ns = clock_ns
        self._post = post
        self._permits = permits
        self._camera_pauses = {camera: Pause() for camera in cameras}
        self._rate_pause = Pause()
        self._next_index = 0
        self._unanswered: dict[str, int] = {}
        """When the first request was made since a camera's newest frame."""
        self._sent: Counter[str] = Counter()
        self._running: frozenset[str] = frozenset()
        """The events of the incidents that run."""

    def sync(self, running: Sequence[IncidentRecord]) -> None:
        """Request the picture of the camera whose turn it is, if one is due."""
        now_ns = self._clock_ns()
        self._running = frozenset(record.event for record in running)
        wanted = self._wanted(running)
        if not wanted:
            self._unanswered.clear()
        if not wanted or not self._rate_pause.is_over(now_ns):
            return
        names = sorted(wanted)
        # Cameras take turns: within a low rate each one gets its share.
        first = self._next_index
        for offset in range(len(names)):
            index = (first + offset) % len(names)
            camera = names[index]
            if self._camera_pauses[camera].is_over(now_ns):
                self._next_index = index + 1
                is_silent = self._unanswered_s(camera, now_ns) >= FRAME_TIMEOUT_S
                self._request(camera, wanted[camera], now_ns, is_silent=is_silent)
                if not is_silent:
                    return

    def outcomes(self, record: IncidentRecord) -> tuple[IncidentOutcome, ...]:
        """Return what became of the order's `pictures`, by camera."""
        if record.order.pictures is None:
            return ()
        return tuple(self._outcome(record, camera) for camera in self._cameras)

    def pop_sent_count(self, record: IncidentRecord) -> int:
        """Return the number of pictures that were sent for an incident since the last call."""
        return self._sent.pop(record.event, 0)

    def _outcome(self, record: IncidentRecord, camera: str) -> IncidentOutcome:
        refusal = self._refusal(record, camera)
        if refusal is None and self._unanswered_s(camera, self._clock_ns()) >= FAILED_AFTER_S:
            return IncidentOutcome(
                part="pictures", of=camera, outcome="failed", detail="it sends no pictures"
            )
        return refusal or IncidentOutcome(part="pictures", of=camera, outcome="done")

    def _refusal(self, record: IncidentRecord, camera: str) -> IncidentOutcome | None:
        if not self._permits(record.signer, "see", camera):
            return IncidentOutcome(
                part="pictures",
                of=camera,
                outcome="forbidden",
                detail=f"{record.signer.by} may not see it",
            )
        try:
            self._cameras[camera].check(camera, record.signer)
        except CommandRejected as error:
            outcome = error.code if error.code in ("forbidden", "unsupported") else "failed"
            return IncidentOutcome(
                part="pictures",
                of=camera,
                outcome=outcome,
                detail=str(error),
            )
        return None

    def _wanted(self, running: Sequence[IncidentRecord]) -> dict[str, _Wanted]:
        wanted: dict[str, _Wanted] = {}
        for record in running:
            pictures = record.order.pictures
            if pictures is None:
                continue
            for camera in self._cameras:
                is_faster = camera not in wanted or pictures.every_s < wanted[camera].every_s
                if is_faster and self._refusal(record, camera) is None:
                    wanted[camera] = _Wanted(
                        event=record.event,
                        every_s=pictures.every_s,
                        max_bytes=pictures.max_bytes,
                        rate_kbit_s=pictures.rate_kbit_s,
                    )
        return wanted

    def _unanswered_s(self, camera: str, now_ns: int) -> float:
        """Return for how long a camera has had a request and sent no frame."""
        return (now_ns - self._unanswered.get(camera, now_ns)) / 1e9

    def _request(self, camera: str, wanted: _Wanted, now_ns: int, *, is_silent: bool) -> None:
        self._unanswered.setdefault(camera, now_ns)
        if is_silent:
            # The others do not wait for a camera that has let its last request expire.
            self._camera_pauses[camera].begin(now_ns, max(wanted.every_s, FRAME_TIMEOUT_S))
        else:
            # Until the frame is there, no other one is requested.
            self._camera_pauses[camera].begin(now_ns, wanted.every_s)
            self._rate_pause.begin(now_ns, FRAME_TIMEOUT_S)
        self._cameras[camera].next_frame.request(
            lambda frame: self._post(lambda: self._take(camera, wanted, frame)),
            now_ns=now_ns,
            timeout_s=FRAME_TIMEOUT_S,
        )

    def _take(self, camera: str, wanted: _Wanted, frame: Frame) -> None:
        self._unanswered.pop(camera, None)
        if wanted.event not in self._running:
            return
        try:
            jpeg = encode_within(self._encode, frame, wanted.max_bytes)
        except CommandRejected as error:
            log.warning("incident: camera %s: %s", camera, error)
            return
        self._rate_pause.begin(self._clock_ns(), 8 * len(jpeg) / (wanted.rate_kbit_s * 1000))
        self._sent[wanted.event] += 1
        self._send(camera, jpeg, frame.t_ns, wanted.event)
