"""Frames for looks at a camera without detection and for previews of it: its keyframes, decoded while one is requested.

The driver is not asked for frames: it would have to open the camera again, and recorded frames would be lost.
"""

import logging
import threading
from collections.abc import Callable, Mapping

import msgspec

from agent.capture.live_looks import LiveLooks
from agent.capture.packet_tap import PacketTap
from agent.capture.snapshot_command import CameraAccess
from agent.commands.requester import CommandRejected
from agent.recording.annex_b import AnnexBConverter
from drivers.errors import DriverError
from drivers.keyframe_decoder import CODECS, FORK_SERVER, KeyframeDecoder
from drivers.masking import MaskPainter
from drivers.media import NS_PER_S, Frame

log = logging.getLogger(__name__)

POLL_S = 0.5
CLOSE_TIMEOUT_S = 5.0
PREVIEW_KEEP_NS = 15 * NS_PER_S
"""Keyframes are decoded for this time after the last preview: a technician who aims requests one after the other."""


class LiveKeyframes:
    """A thread and a decoder for each camera without detection whose pictures are requested. Thread-safe."""

    def __init__(
        self,
        looks: LiveLooks,
        cameras: Mapping[str, CameraAccess],
        clock_ns: Callable[[], int],
    ) -> None:
        self._looks = looks
        self._cameras = dict(cameras)
        self._clock_ns = clock_ns
        self._lock = threading.Lock()
        self._threads: dict[str, threading.Thread] = {}
        self._previewed_until_ns: dict[str, int] = {}

    def find_tap(self, camera: str) -> PacketTap:
        """Return the packets of a camera. Raises: CommandRejected if they have no pictures now."""
        tap = self._cameras[camera].packet_tap
        if tap is None:
            raise CommandRejected("unsupported", f"camera {camera!r} has no pictures")
        if tap.info is None:
            raise CommandRejected("unavailable", f"camera {camera!r} is not open")
        if tap.info.codec not in CODECS:
            raise CommandRejected(
                "unsupported",
                f"camera {camera!r} is only recorded, and sends {tap.info.codec}; "
                f"allowed: {', '.join(CODECS)}",
            )
        return tap

    def start(self, camera: str, tap: PacketTap) -> None:
        """Decode keyframes of a camera as long as a look at its pictures or a preview needs them."""
        with self._lock:
            if camera not in self._threads:
                self._threads[camera] = threading.Thread(
                    target=self._run, args=(camera, tap), name=f"keyframes {camera}", daemon=True
                )
                self._threads[camera].start()

    def start_preview(self, camera: str) -> None:
        """Decode keyframes of a camera for a preview, and the next ones. Raises: CommandRejected as `find_tap`."""
        tap = self.find_tap(camera)
        with self._lock:
            self._previewed_until_ns[camera] = self._clock_ns() + PREVIEW_KEEP_NS
        self.start(camera, tap)

    def close(self) -> None:
        """End the previews, and wait for the threads, whose looks have ended."""
        with self._lock:
            self._previewed_until_ns.clear()
            threads = tuple(self._threads.values())
        for thread in threads:
            thread.join(CLOSE_TIMEOUT_S)

    def _run(self, camera: str, tap: PacketTap) -> None:
        problem = "the agent failed at it"
        try:
            problem = self._decode(camera, tap)
        except (DriverError, ValueError) as error:
            problem = str(error)
        finally:
            if problem:
                log.warning("live pictures of camera %s have ended: %s", camera, problem)
                self._looks.end(
                    lambda look: (look.camera, look.form) == (camera, "pictures"), "camera", problem
                )
            with self._lock:
                if self._threads.get(camera) is threading.current_thread():
                    del self._threads[camera]
                if not self._threads:
                    FORK_SERVER.close()

    def _decode(self, camera: str, tap: PacketTap) -> str:
        """Return what ended it, nothing if none is needed. Raises: DriverError, ValueError."""
        info, access = tap.info, self._cameras[camera]
        if info is None:
            return "it is not open"
        decoder = KeyframeDecoder(f"camera {camera!r}", info.codec)
        subscription = tap.subscribe(info)
        try:
            converter = AnnexBConverter(info)
            # Masks that are in the stream may have turned with a head since.
            painter = (
                None
                if info.masked
                else MaskPainter((), f"camera {camera!r}", lambda _t_ns: access.masks())
            )
            while self._is_needed(camera):
                packet = subscription.get(POLL_S)
                if subscription.is_ended:
                    return "its stream has begun again"
                if packet is None or not packet.is_key:
                    continue
                if not access.next_frame.count_waiting(self._clock_ns()):
                    continue
                frame = decoder.decode(converter.convert(packet))
                if frame is not None:
                    access.next_frame.offer(frame if painter is None else masked(frame, painter))
        finally:
            subscription.end()
            decoder.close()
        return ""

    def _is_needed(self, camera: str) -> bool:
        """Return False, and leave the camera to another thread, if no look and no preview is left."""
        with self._lock:
            look = self._looks.find(lambda one: (one.camera, one.form) == (camera, "pictures"))
            is_previewed = self._clock_ns() < self._previewed_until_ns.get(camera, 0)
            if look is None and not is_previewed:
                del self._threads[camera]
                return False
            return True


def masked(frame: Frame, painter: MaskPainter) -> Frame:
    """Return a frame with the masks painted. Raises: MaskError."""
    y, u, v = painter.paint_planes((frame.y, frame.u, frame.v))
    return msgspec.structs.replace(frame, y=y, u=u, v=v)
