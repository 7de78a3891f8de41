"""Panorama scan: sweep the head all around, and publish the stitched panorama.

The images are frames as detection gets them, so what a mask hides is hidden in them.
"""

import threading
from collections.abc import Callable
from functools import partial

import cv2

from agent.base.errors import UserError
from agent.base.message import Message
from agent.base.sha256 import sha256_hex
from agent.capture.next_frame import NextFrame
from agent.capture.snapshot_command import SNAPSHOT_MAX_BYTES, CameraAccess, SnapshotSink
from agent.commands.requester import CommandRejected, Requester
from agent.config.heads import FieldOfView, HeadConfig
from agent.ptz.automation.sweep import Sweep, plan_sweep
from agent.ptz.head import PtzHead
from agent.ptz.lease import can_preempt
from agent.ptz.motion.field_of_view import horizontal_fov_deg
from agent.ptz.panorama.shot import Image, frame_to_bgr
from agent.ptz.panorama.stitch import MAX_WIDTH_PX, render_panorama
from agent.ptz.ptz_args import PanoramaResult
from agent.ptz.requests import HeadState, MoveRequest
from drivers.angles import FULL_TURN_DEG
from drivers.contracts import Pose, PtzCapabilities
from drivers.media import Frame

MAX_IMAGES = 60
TIME_MARGIN_S = 30.0
"""For the way to the first pose, and a head that is slow at some pose."""
TIME_PER_POSE_S = 4.0
"""At each pose, in addition to settling: the way there and an image."""
OVERSAMPLING = 1.5
"""Images are kept this much finer than the panorama: 20 MB for a round of wide ones."""
_MIN_WIDTH_PX, _MAX_WIDTH_PX = 160, 1280

ProgressCallback = Callable[[float, str], None]
FinishCallback = Callable[[Callable[[], PanoramaResult]], None]


class PanoramaScan:
    """The sweeps of one head, one at a time. Thread-safe.

    `access` checks who may view the camera. If `is_masked` returns True, its masks hide everything but its
    presets: then no sweep is allowed.
    """

    def __init__(
        self,
        head: PtzHead,
        camera: str,
        access: CameraAccess,
        fov: FieldOfView,
        snapshot_sink: SnapshotSink,
        clock_ns: Callable[[], int],
        *,
        is_masked: Callable[[], bool],
    ) -> None:
        self._head = head
        self._camera = camera
        self._access = access
        self._fov = fov
        self._snapshot_sink = snapshot_sink
        self._clock_ns = clock_ns
        self._is_masked = is_masked
        self._lock = threading.Lock()
        self._run: _SweepRun | None = None

    def begin(
        self,
        requester: Requester,
        token: int | None,
        progress: ProgressCallback,
        finish: FinishCallback,
    ) -> float:
        """Begin a sweep, in place of one of a weaker requester; return its longest duration in s.

        `progress` is called with the share that is done and a sentence, `finish` at the end with
        the function that makes the panorama. Raises: CommandRejected.
        """
        config = self._head.config
        poses = plan_sweep(self._check_allowed(requester).pan_deg, self._fov, config.sweep)
        max_duration_s = TIME_MARGIN_S + len(poses) * (TIME_PER_POSE_S + config.settle_s)
        grabber = _FrameGrabber(
            self._access.next_frame,
            _image_width_px(self._fov, poses[0]),
            max_duration_s,
            self._head.wake.set,
        )
        deadline_ns = self._clock_ns() + int(max_duration_s * 1e9)
        sweep = Sweep(
            poses, requester, grabber.pop_image, speed=config.sweep.speed, deadline_ns=deadline_ns
        )
        run = _SweepRun(
            sweep,
            progress,
            lambda ended_run: self._finish_run(ended_run, finish),
        )
        with self._lock:
            other_run = self._run
            if other_run is not None and can_preempt(other_run.requester.role, requester.role):
                raise CommandRejected("busy", f"head {self._head.name!r} sweeps already")
            self._head.acquire(requester, token=token)
            # A thread that cancels the run finds it among the movers.
            self._head.movers.add(run)
            self._run = run
        if other_run is not None:
            other_run.cancel(f"{requester.id!r} sweeps instead")
        return max_duration_s

    def cancel(self, reason: str, *, except_by: Requester | None = None) -> None:
        """Cancel the running sweep, unless it is one of `except_by`'s."""
        run = self._run
        if run is not None and run.requester != except_by:
            run.cancel(reason)

    def _check_allowed(self, requester: Requester) -> PtzCapabilities:
        self._access.check(self._camera, requester)
        if self._is_masked():
            raise CommandRejected(
                "forbidden",
                f"camera {self._camera!r} has masks, which hide everything but the presets that they "
                "were drawn at",
            )
        capabilities = self._head.capabilities
        if capabilities is None:
            raise CommandRejected("unavailable", f"head {self._head.name!r} is not open yet")
        return capabilities

    def _finish_run(self, run: "_SweepRun", finish: FinishCallback) -> None:
        self._head.movers.remove(run)
        with self._lock:
            if self._run is run:
                self._run = None
        finish(lambda: self._build_result(run))

    def _build_result(self, run: "_SweepRun") -> PanoramaResult:
        """Stitch and publish the panorama. Raises: CommandRejected `failed`."""
        sweep = run.sweep
        if run.cancel_reason is not None:
            raise CommandRejected("failed", run.cancel_reason)
        if not sweep.shots:
            raise CommandRejected(
                "failed", f"there is no image: {'; '.join(sweep.missing) or 'the time is over'}"
            )
        try:
            jpeg = render_panorama(sweep.shots, self._fov, SNAPSHOT_MAX_BYTES)
        except (ValueError, cv2.error) as error:
            raise CommandRejected("failed", f"the images cannot be stitched: {error}") from error
        t_ns = self._clock_ns()
        try:
            self._snapshot_sink.record_snapshot_view(self._camera, sweep.requester.by, t_ns)
        except OSError as error:
            raise CommandRejected(
                "failed", f"the view cannot be recorded, so no image is shown: {error}"
            ) from error
        self._snapshot_sink.publish_snapshot(self._camera, jpeg, t_ns)
        return PanoramaResult(
            camera=self._camera,
            sha256=sha256_hex(jpeg),
            size_bytes=len(jpeg),
            frames=len(sweep.shots),
            missing=sweep.missing,
        )


class _FrameGrabber:
    """Converts a frame of the camera to an image if a sweep waits for one, and calls `on_image`."""

    def __init__(
        self,
        next_frame: NextFrame,
        max_width_px: int,
        timeout_s: float,
        on_image: Callable[[], None],
    ) -> None:
        self._next_frame = next_frame
        self._max_width_px = max_width_px
        self._timeout_s = timeout_s
        self._on_image = on_image
        self._lock = threading.Lock()
        self._since_ns: int | None = None
        self._image: Image | None = None

    def pop_image(self, since_ns: int) -> Image | None:
        """Return an image taken at or after `since_ns`, or None as long as there is none."""
        with self._lock:
            if self._since_ns != since_ns:
                self._since_ns, self._image = since_ns, None
                self._next_frame.request(
                    partial(self._convert, since_ns),
                    now_ns=since_ns,
                    timeout_s=self._timeout_s,
                    since_ns=since_ns,
                )
            image = self._image
            if image is not None:
                self._since_ns = self._image = None
            return image

    def _convert(self, since_ns: int, frame: Frame) -> None:
        if self._since_ns != since_ns:
            return
        image = frame_to_bgr(frame, self._max_width_px)
        with self._lock:
            if self._since_ns == since_ns:
                self._image = image
        self._on_image()


class _SweepRun:
    """A sweep as an automatic mover: cancelled if another requester acquires the head."""

    tour = None

    def __init__(
        self,
        sweep: Sweep,
        progress: ProgressCallback,
        on_end: Callable[["_SweepRun"], None],
    ) -> None:
        self.sweep = sweep
        self.cancel_reason: str | None = None
        """Why it was cancelled, None if it was not."""
        self._progress = progress
        self._reported_progress = 0.0
        self._on_end = on_end
        self._lock = threading.Lock()
        self._ended = False
        self.requester = sweep.requester

    def step(self, t_ns: int, state: HeadState) -> MoveRequest | None:
        """Return the next move of the sweep, or None."""
        if state.lease is not None and state.lease.holder != self.requester:
            self.cancel(f"{state.lease.holder.id!r} has acquired the head")
        request = self.sweep.step(t_ns, state)
        if self.sweep.outcome != "running":
            self._finish(None)
        elif self.sweep.progress != self._reported_progress:
            self._reported_progress = self.sweep.progress
            detail = f"{len(self.sweep.shots)} of {self.sweep.pose_count} images"
            self._progress(self._reported_progress, detail)
        return request

    def on_rejected(self, t_ns: int, request: MoveRequest, rejection: CommandRejected) -> None:
        """Pass the rejection to the sweep."""
        self.sweep.on_rejected(t_ns, request, rejection)
        if self.sweep.outcome != "running":
            self._finish(None)

    def cancel(self, reason: str) -> None:
        """Cancel the sweep at once."""
        self.sweep.cancel()
        self._finish(reason)

    def _finish(self, reason: str | None) -> None:
        with self._lock:
            if self._ended:
                return
            self._ended = True
            self.cancel_reason = reason
        self._on_end(self)


def check_sweep(head: HeadConfig, location: str) -> None:
    """Check a head's sweep; `location` begins the message. Raises: UserError if it is too long."""
    if head.fov_deg is None:
        return
    count = len(plan_sweep(None, head.fov_deg, head.sweep))
    if count > MAX_IMAGES:
        raise UserError(
            Message(
                "{label}: a sweep would take {count} images; allowed: {max}, with less zoom or less overlap",
                label=f"{location}.sweep.zoom = {head.sweep.zoom:g}",
                count=count,
                max=MAX_IMAGES,
            )
        )


def _image_width_px(fov: FieldOfView, pose: Pose) -> int:
    """Return the width that an image needs for the panorama to be as sharp as it can."""
    width_px = OVERSAMPLING * MAX_WIDTH_PX * horizontal_fov_deg(fov, pose.zoom) / FULL_TURN_DEG
    return int(min(_MAX_WIDTH_PX, max(_MIN_WIDTH_PX, width_px)))
