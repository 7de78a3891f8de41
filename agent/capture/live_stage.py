"""The stage `live`: sends the pictures of live looks over MQTT, and ends each look in time.

The frames are those that detection gets, with the masks painted. Looks at one camera share its pictures.
Without a look nothing is requested of a camera.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import msgspec

from agent.base.clock import Clock
from agent.base.health_model import LiveHealth
from agent.capture.live_keyframes import LiveKeyframes
from agent.capture.live_looks import LiveLooks, Look
from agent.capture.live_video import LiveVideo
from agent.capture.snapshot_command import FRAME_TIMEOUT_S, CameraAccess
from agent.reporting import outgoing_messages
from agent.reporting.mqtt.unstored import UnstoredMessages
from agent.runtime.link_budget import LinkBudget, SendPriority
from agent.runtime.stage import IDLE_WAIT_S
from drivers.media import NS_PER_S, Frame

MAX_TURN_S = 1.0
"""Interval at which the ends of looks are checked."""


class LiveLink(msgspec.Struct, frozen=True):
    """The link that pictures are sent by.

    `online_session` returns the number of the connection to the broker, or None without one.
    """

    messages: UnstoredMessages
    online_session: Callable[[], int | None]
    budget: LinkBudget


class LiveStage:
    """Requests frames for the looks that run, encodes and sends them.

    `encode` returns a JPEG of a frame within a limit of bytes.
    """

    name = "live"

    def __init__(
        self,
        looks: LiveLooks,
        cameras: Mapping[str, CameraAccess],
        encode: Callable[[Frame, int], bytes],
        link: LiveLink,
        clock: Clock,
        video: LiveVideo,
        keyframes: LiveKeyframes,
    ) -> None:
        self._video = video
        self._keyframes = keyframes
        self._looks = looks
        self._cameras = dict(cameras)
        self._encode = encode
        self._link = link
        self._clock = clock
        self._changed = threading.Condition()
        self._is_woken = False
        self._frames: dict[str, Frame] = {}
        self._due_ns: dict[str, int] = {}
        self._requested_ns: dict[str, int] = {}
        self._sent = 0
        self._skipped = 0

    def wake(self) -> None:
        """Request the first picture of a new look now. Thread-safe."""
        with self._changed:
            self._is_woken = True
            self._changed.notify()

    def health(self) -> LiveHealth:
        """Return the looks that run, and the pictures since the start. Thread-safe."""
        return LiveHealth(
            looks=len(self._looks.running()),
            pictures_sent=self._sent,
            pictures_skipped=self._skipped,
            packets_dropped=self._video.dropped,
        )

    def run_once(self, stopping: threading.Event) -> None:
        """End the looks that are over, request the pictures that are due, and send those that came."""
        self._end_looks()
        looks_of_camera = self._group_by_camera()
        for camera, looks in looks_of_camera.items():
            self._request_if_due(camera, looks)
        with self._changed:
            self._changed.wait_for(
                lambda: self._frames or self._is_woken, self._wait_s(looks_of_camera)
            )
            self._is_woken = False
            frames, self._frames = self._frames, {}
        for camera, frame in frames.items():
            self._requested_ns.pop(camera, None)
            # A look may have ended meanwhile.
            running = self._group_by_camera().get(camera)
            if running:
                self._send(camera, running, frame)

    def close(self) -> None:
        """End all looks, and wait for their pushes and decoders."""
        self._looks.end(lambda _look: True, "stopped", "the agent stops")
        self._video.close()
        self._keyframes.close()

    def _end_looks(self) -> None:
        if not self._looks.running():
            return
        now_ns, session = self._clock.boottime_ns(), self._link.online_session()
        self._looks.end(lambda look: look.session != session, "disconnected")
        self._looks.end(lambda look: now_ns >= look.until_ns, "expired")
        self._looks.end(lambda look: self._cameras[look.camera].is_suspended(), "degraded")

    def _group_by_camera(self) -> dict[str, list[Look]]:
        """Return the looks at pictures by camera, and drop the picture that waits for none of them."""
        groups: dict[str, list[Look]] = {}
        for look in self._looks.running("pictures"):
            groups.setdefault(look.camera, []).append(look)
        for camera in self._due_ns.keys() - groups.keys():
            del self._due_ns[camera]
            self._link.messages.discard(outgoing_messages.live_topic(camera))
        return groups

    def _request_if_due(self, camera: str, looks: Sequence[Look]) -> None:
        now_ns = self._clock.boottime_ns()
        due_ns = self._due_ns.setdefault(camera, now_ns)
        requested_ns = self._requested_ns.get(camera)
        is_requested = (
            requested_ns is not None and now_ns < requested_ns + FRAME_TIMEOUT_S * NS_PER_S
        )
        if now_ns < due_ns or is_requested:
            return
        interval_ns = min(look.pictures.interval_ns for look in looks)
        # The rate is kept on average; a late picture is not made up for.
        self._due_ns[camera] = max(due_ns + interval_ns, now_ns)
        if self._link.messages.is_waiting(outgoing_messages.live_topic(camera)):
            # The link is slower than the looks: the next frame will be newer.
            self._skipped += 1
            return
        self._requested_ns[camera] = now_ns
        self._cameras[camera].next_frame.request(
            partial(self._on_frame, camera), now_ns=now_ns, timeout_s=FRAME_TIMEOUT_S
        )

    def _on_frame(self, camera: str, frame: Frame) -> None:
        """Keep the frame for this stage, on the camera's detect thread."""
        with self._changed:
            self._frames[camera] = frame
            self._changed.notify()

    def _wait_s(self, looks_of_camera: Mapping[str, object]) -> float:
        """Return the time until the next picture is due, or a look may be over."""
        now_ns = self._clock.boottime_ns()
        # A requested frame wakes this stage when it comes.
        waits_ns = [
            self._due_ns[camera] - now_ns
            for camera in looks_of_camera
            if camera not in self._requested_ns
        ]
        waits_ns += [look.until_ns - now_ns for look in self._looks.running()]
        if not waits_ns:
            return IDLE_WAIT_S
        return min(max(0.0, min(waits_ns) / NS_PER_S), MAX_TURN_S)

    def _send(self, camera: str, looks: Sequence[Look], frame: Frame) -> None:
        limit_bytes = min(
            max(look.pictures.max_bytes for look in looks), self._link.messages.picture_limit_bytes
        )
        jpeg = self._encode(frame, limit_bytes)
        now_ns = self._clock.boottime_ns()
        is_emergency = any(look.priority == "emergency" for look in looks)
        priority: SendPriority = "emergency" if is_emergency else "view"
        wait_s = self._link.budget.take(
            len(jpeg), priority, now_ns, self._clock.utc(now_ns).toordinal()
        )
        if wait_s is None:
            self._looks.end(
                lambda look: look.camera == camera and look.form == "pictures",
                "link",
                "the bytes of the day are used up",
            )
        elif wait_s > 0:
            self._skipped += 1
            self._due_ns[camera] = max(self._due_ns[camera], now_ns + int(wait_s * NS_PER_S))
        else:
            self._sent += 1
            for look in looks:
                look.count(len(jpeg))
            self._link.messages.put(outgoing_messages.build_live_message(camera, jpeg, frame.t_ns))
