"""Video of live looks: the packets that the recorder gets, pushed to a video server by a thread per look."""

import logging
import threading
from collections.abc import Mapping
from pathlib import Path

from agent.base.clock import Clock
from agent.capture.live_looks import EndReason, LiveLooks, Look
from agent.capture.packet_tap import PacketSubscription, PacketTap
from agent.capture.snapshot_command import CameraAccess
from agent.capture.video_target import VideoTarget
from agent.commands.requester import CommandRejected
from agent.recording.annex_b import AnnexBConverter
from agent.runtime.link_budget import LinkBudget
from drivers.errors import DriverError
from drivers.media import StreamInfo
from drivers.rtsp_push import CODECS, FORK_SERVER, RtspPush

log = logging.getLogger(__name__)

MAX_VIDEO_LOOKS = 4
POLL_S = 0.5
CLOSE_TIMEOUT_S = 5.0
"""For a push to take leave of its server, or to be killed."""
SYSTEM_CA_FILE = Path("/etc/ssl/certs/ca-certificates.crt")
"""Debian's authorities, for a box without an authority of its own."""


class LiveVideo:
    """The pushes of a box. Recording never waits for one: packets that are late are dropped.

    A thread each, not a stage: a push ends with its look, and a stage would be there for ever. Thread-safe.
    """

    def __init__(
        self,
        looks: LiveLooks,
        cameras: Mapping[str, CameraAccess],
        budget: LinkBudget,
        clock: Clock,
        ca_file: Path = SYSTEM_CA_FILE,
    ) -> None:
        self._looks = looks
        self._cameras = dict(cameras)
        self._budget = budget
        self._clock = clock
        self._ca_file = ca_file
        self._lock = threading.Lock()
        self._threads: dict[object, threading.Thread] = {}
        self._dropped = 0

    @property
    def dropped(self) -> int:
        """The packets that were dropped, because the server or the link was slower than the stream."""
        return self._dropped

    def find_tap(self, camera: str) -> PacketTap:
        """Return the packets of a camera. Raises: CommandRejected if they may not be pushed now."""
        access = self._cameras[camera]
        tap = access.packet_tap
        if tap is None:
            raise CommandRejected(
                "unsupported", f"camera {camera!r} is not recorded: it has no video"
            )
        if tap.info is None:
            raise CommandRejected("unavailable", f"camera {camera!r} is not open")
        if tap.info.codec not in CODECS:
            raise CommandRejected(
                "unsupported",
                f"camera {camera!r} sends {tap.info.codec}; allowed: {', '.join(CODECS)}",
            )
        if not is_showable(access, tap.info):
            raise CommandRejected(
                "forbidden",
                f"camera {camera!r}: its masks are not in its video, which arrives encoded; "
                "allowed: pictures, or transcode = true",
            )
        return tap

    def start(self, look: Look, target: VideoTarget, tap: PacketTap) -> None:
        """Push the video of a look that has begun, until its end."""
        with self._lock:
            earlier = self._threads.get(look.key)
            thread = threading.Thread(
                target=self._run,
                args=(look, target, tap, earlier),
                name=f"live {look.camera}",
                daemon=True,
            )
            self._threads[look.key] = thread
            thread.start()

    def close(self) -> None:
        """Wait for the pushes, whose looks have ended."""
        with self._lock:
            threads = tuple(self._threads.values())
        for thread in threads:
            thread.join(CLOSE_TIMEOUT_S)

    def _run(
        self, look: Look, target: VideoTarget, tap: PacketTap, earlier: threading.Thread | None
    ) -> None:
        """Push until the look ends, and end the look if the push fails."""
        if earlier is not None:
            # A server takes one stream of a path at a time.
            earlier.join(CLOSE_TIMEOUT_S)
        reason: EndReason = "server"
        detail = "the agent failed at it"
        try:
            reason, detail = self._push(look, target, tap)
        except DriverError as error:
            detail = str(error)
        finally:
            ended = self._looks.end(lambda one: one.push is look.push, reason, detail)
            if ended and detail:
                log.warning("live video of camera %s has ended: %s", look.camera, detail)
            with self._lock:
                if self._threads.get(look.key) is threading.current_thread():
                    del self._threads[look.key]
                if not self._threads:
                    FORK_SERVER.close()

    def _push(self, look: Look, target: VideoTarget, tap: PacketTap) -> tuple[EndReason, str]:
        """Return why the push has ended. Raises: DriverError of the push."""
        info = tap.info
        if info is None:
            return "camera", "it is not open"
        push = RtspPush(
            f"video server {target.display_name}",
            target.url,
            target.port,
            str(self._ca_file),
            info,
            lambda: look.report_progress(0.0, f"video is sent to {target.display_name}"),
            lambda size_bytes: self._count(look.push, size_bytes),
        )
        try:
            push.wait_ready()
            return self._forward(look, tap.subscribe(info), push)
        finally:
            push.close()

    def _forward(
        self, look: Look, subscription: PacketSubscription, push: RtspPush
    ) -> tuple[EndReason, str]:
        access = self._cameras[look.camera]
        try:
            converter = AnnexBConverter(subscription.info)
            while (running := self._find(look.push)) is not None:
                if self._clock.boottime_ns() >= running.until_ns:
                    return "expired", ""
                packet = subscription.get(POLL_S)
                if subscription.is_ended:
                    return "camera", "its stream has begun again"
                if not is_showable(access, subscription.info):
                    return "camera", "its masks are not in its video"
                push.check()
                wait_s = 0.0 if packet is None else self._take(running, len(packet.data))
                if wait_s is None:
                    return "link", "the bytes of the day are used up"
                if wait_s > 0:
                    subscription.skip_to_keyframe()
                elif packet is not None:
                    push.send(converter.convert(packet), lambda: self._find(look.push) is None)
        except ValueError as error:
            return "camera", f"its stream is damaged: {error}"
        finally:
            subscription.end()
            with self._lock:
                self._dropped += subscription.dropped
        return "stopped", ""

    def _find(self, push: object) -> Look | None:
        return self._looks.find(lambda look: look.push is push)

    def _count(self, push: object, size_bytes: int) -> None:
        look = self._find(push)
        if look is not None:
            look.count(size_bytes)

    def _take(self, look: Look, size_bytes: int) -> float | None:
        now_ns = self._clock.boottime_ns()
        day = self._clock.utc(now_ns).toordinal()
        return self._budget.take(size_bytes, look.priority, now_ns, day)


def is_showable(access: CameraAccess, info: StreamInfo) -> bool:
    """Return False if masks of the camera are not in its packets."""
    return info.masked or not access.masks()
