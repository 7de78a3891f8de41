"""A head that looks all around for somebody: the sweep, its pictures, and what becomes of them.

Each picture is of a frame as detection gets it, so what a mask hides is hidden in it.
"""

import hashlib
import threading
from collections.abc import Callable

import cv2

from agent.base.errors import UserError
from agent.capture.snapshot_command import SNAPSHOT_MOST_BYTES, CameraAccess, SnapshotSink
from agent.commands.requester import CommandRejected, Requester
from agent.config.heads import FieldOfView, HeadConfig
from agent.ptz.automation.sweep import Image, Sweep, bgr, plan
from agent.ptz.head import PtzHead
from agent.ptz.lease import takes
from agent.ptz.messages import PanoramaResult
from agent.ptz.motion.field_of_view import width_deg
from agent.ptz.panorama.stitch import ROUND_DEG, WIDEST_PX, panorama
from agent.ptz.requests import HeadState, Wish
from drivers.contracts import Pose, PtzAbilities
from drivers.media import Frame

MOST_PICTURES = 60
SPARE_S = 30.0
"""For the way to the first pose, and a head that is slow somewhere."""
LOOK_S = 4.0
"""At each pose, beside settling: the way there and a picture."""
FINER = 1.5
"""So much finer than the panorama its pictures are kept: 20 MB for a round of wide ones."""
_NARROWEST_PX, _WIDEST_PX = 160, 1280

Progress = Callable[[float, str], None]
Finish = Callable[[Callable[[], PanoramaResult]], None]


class PanoramaScan:
    """The sweeps of one head, one at a time. Any thread may call.

    `shown` says who may see the camera; `hidden`, whether its masks hide everything but its
    presets: then there is nothing to see on the way round.
    """

    def __init__(
        self,
        head: PtzHead,
        camera: str,
        shown: CameraAccess,
        fov: FieldOfView,
        gallery: SnapshotSink,
        clock_ns: Callable[[], int],
        *,
        hidden: bool,
    ) -> None:
        self._head = head
        self._camera = camera
        self._shown = shown
        self._fov = fov
        self._gallery = gallery
        self._clock_ns = clock_ns
        self._hidden = hidden
        self._lock = threading.Lock()
        self._under_way: _UnderWay | None = None

    def begin(
        self, asker: Requester, token: int | None, progress: Progress, finish: Finish
    ) -> float:
        """Begin a sweep in his name, instead of a weaker one's; the seconds that it takes at the
        most. Raises Refused.
        """
        config = self._head.config
        poses = plan(self._may_begin(asker).pan_deg, self._fov, config.sweep)
        within_s = SPARE_S + len(poses) * (LOOK_S + config.settle_s)
        pictures = _Pictures(_kept_px(self._fov, poses[0]), self._head.wake.set)
        deadline_ns = self._clock_ns() + int(within_s * 1e9)
        sweep = Sweep(
            poses, asker, pictures.take, speed=config.sweep.speed, deadline_ns=deadline_ns
        )
        under_way = _UnderWay(
            sweep,
            pictures,
            progress,
            lambda ended: self._end(ended, finish),
        )
        with self._lock:
            other = self._under_way
            if other is not None and takes(other.asker.role, asker.role):
                raise CommandRejected("busy", f"head {self._head.name!r} looks all around already")
            self._head.take(asker, token=token)
            # Who ends it finds it among the movers.
            self._head.add(under_way)
            self._under_way = under_way
        if other is not None:
            other.cancel(f"{asker.id!r} looks all around instead")
        return within_s

    def cancel(self, why: str, *, but: Requester | None = None) -> None:
        """End the sweep that is under way, if one is and it is not one of `but`'s: somebody wants
        something else.
        """
        under_way = self._under_way
        if under_way is not None and under_way.asker != but:
            under_way.cancel(why)

    def offer(self, frame: Frame) -> None:
        """A frame of the camera, from its own thread. Costs nothing while nobody waits for one."""
        under_way = self._under_way
        if under_way is not None:
            under_way.pictures.offer(frame)

    def _may_begin(self, asker: Requester) -> PtzAbilities:
        self._shown.check(self._camera, asker)
        if self._hidden:
            raise CommandRejected(
                "forbidden",
                f"camera {self._camera!r} has masks, which hide all but the presets that they were "
                "drawn at",
            )
        abilities = self._head.abilities
        if abilities is None:
            raise CommandRejected("absent", f"head {self._head.name!r} is not open yet")
        return abilities

    def _end(self, ended: "_UnderWay", finish: Finish) -> None:
        self._head.remove(ended)
        with self._lock:
            if self._under_way is ended:
                self._under_way = None
        finish(lambda: self._panorama(ended))

    def _panorama(self, ended: "_UnderWay") -> PanoramaResult:
        """Make the picture and give it. Raises Refused."""
        sweep = ended.sweep
        if ended.why is not None:
            raise CommandRejected("failed", ended.why)
        if not sweep.shots:
            raise CommandRejected(
                "failed", f"no picture at all: {'; '.join(sweep.missing) or 'too late'}"
            )
        try:
            made = panorama(sweep.shots, self._fov, SNAPSHOT_MOST_BYTES)
        except (ValueError, cv2.error) as error:
            raise CommandRejected("failed", f"the pictures cannot be joined: {error}") from error
        t_ns = self._clock_ns()
        try:
            self._gallery.record_snapshot_view(self._camera, sweep.asker.id, t_ns)
        except OSError as error:
            raise CommandRejected(
                "failed", f"who looks cannot be written down, so nothing is shown: {error}"
            ) from error
        self._gallery.publish_snapshot(self._camera, made.jpeg, t_ns)
        return PanoramaResult(
            camera=self._camera,
            sha256=hashlib.sha256(made.jpeg).hexdigest(),
            size_bytes=len(made.jpeg),
            pictures=len(sweep.shots),
            missing=sweep.missing,
        )


class _Pictures:
    """The camera's frames, as a sweep asks for them: turned into a picture only where it waits.
    `on_picture` is called when there is one.
    """

    def __init__(self, widest_px: int, on_picture: Callable[[], None]) -> None:
        self._widest_px = widest_px
        self._on_picture = on_picture
        self._lock = threading.Lock()
        self._since_ns: int | None = None
        self._taken: Image | None = None

    def take(self, since_ns: int) -> Image | None:
        """See `Sweep`."""
        with self._lock:
            if self._since_ns != since_ns:
                self._since_ns, self._taken = since_ns, None
            image = self._taken
            if image is not None:
                self._since_ns = self._taken = None
            return image

    def offer(self, frame: Frame) -> None:
        """The newest frame."""
        since_ns = self._since_ns
        if since_ns is None or self._taken is not None or frame.t_ns < since_ns:
            return
        image = bgr(frame, self._widest_px)
        with self._lock:
            if self._since_ns == since_ns:
                self._taken = image
        self._on_picture()


class _UnderWay:
    """A sweep as a head's mover: ended at once by whoever wants the head for something else."""

    tour = None

    def __init__(
        self,
        sweep: Sweep,
        pictures: _Pictures,
        progress: Progress,
        on_end: Callable[["_UnderWay"], None],
    ) -> None:
        self.sweep = sweep
        self.pictures = pictures
        self.why: str | None = None
        """Why it was given up, None where it was not."""
        self._progress = progress
        self._told = 0.0
        self._on_end = on_end
        self._lock = threading.Lock()
        self._ended = False

    @property
    def asker(self) -> Requester:
        """Who asked for it."""
        return self.sweep.asker

    def step(self, t_ns: int, state: HeadState) -> Wish | None:
        """See `Mover`."""
        if state.lease is not None and state.lease.holder != self.asker:
            self.cancel(f"{state.lease.holder.id!r} has taken the head")
        wish = self.sweep.step(t_ns, state)
        if self.sweep.finished.is_set():
            self._end(None)
        elif self.sweep.progress != self._told:
            self._told = self.sweep.progress
            detail = f"{len(self.sweep.shots)} of {self.sweep.places} pictures"
            self._progress(self._told, detail)
        return wish

    def refused(self, t_ns: int, wish: Wish, refusal: CommandRejected) -> None:
        """See `Mover`."""
        self.sweep.refused(t_ns, wish, refusal)
        if self.sweep.finished.is_set():
            self._end(None)

    def cancel(self, why: str) -> None:
        """Give it up, now."""
        self.sweep.cancel()
        self._end(why)

    def _end(self, why: str | None) -> None:
        with self._lock:
            if self._ended:
                return
            self._ended = True
            self.why = why
        self._on_end(self)


def check(head: HeadConfig, where: str) -> None:
    """Raise BadInput where a round takes too many pictures; `where` begins the message."""
    if head.fov_deg is None:
        return
    count = len(plan(None, head.fov_deg, head.sweep))
    if count > MOST_PICTURES:
        raise UserError(
            f"{where}.sweep.zoom = {head.sweep.zoom:g}: a round would take {count} pictures; "
            f"allowed: {MOST_PICTURES} at the most, with less zoom or less overlap"
        )


def _kept_px(fov: FieldOfView, pose: Pose) -> int:
    """How wide a picture need be, so that the panorama is as sharp as it can be."""
    wanted_px = FINER * WIDEST_PX * width_deg(fov, pose.zoom) / ROUND_DEG
    return int(min(_WIDEST_PX, max(_NARROWEST_PX, wanted_px)))
