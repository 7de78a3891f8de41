"""A sweep all around: from pose to pose, with an image at each. Pure.

A sweep moves a head as a tour or the tracker does, with the role of its requester.
"""

import math
from collections.abc import Callable
from typing import Literal

import numpy as np

from agent.commands.requester import CommandRejected, Requester
from agent.config.heads import FieldOfView, SweepConfig
from agent.ptz.motion.field_of_view import Direction, angle_between_deg, point_to_direction
from agent.ptz.panorama.shot import Image, Shot
from agent.ptz.requests import AbsoluteMove, HeadState, MoveRequest
from drivers.angles import wrap_deg
from drivers.contracts import Pose, PtzPosition, Range
from drivers.media import Point

ARRIVED_WITHIN_DEG = 1.0
"""Nearer than this to its pose the head has arrived."""
ARRIVAL_TIMEOUT_S = 8.0
"""A head that rests elsewhere for this long has missed the order; it is sent once more."""
MAX_ATTEMPTS = 2

SweepOutcome = Literal["running", "done", "cancelled", "timed_out", "failed"]
"""done       the round is over; poses without an image are in `missing`
cancelled  the sweep was cancelled
timed_out  the time was over before the round; the images so far may be stitched
failed     there is no image at all
"""


def plan_sweep(pan_deg: Range | None, fov: FieldOfView, config: SweepConfig) -> tuple[Pose, ...]:
    """Return the poses of a sweep from left to right, for a head with these end stops or none.

    They cover the circle evenly if the head can, otherwise the range from end to end. Neighbours
    overlap by at least `config.overlap` of a picture's width, in the row where pictures are
    narrowest.
    """
    step_deg = _min_width_deg(fov, config) * (1 - config.overlap)
    count = max(1, math.ceil(360 / step_deg))
    middle_deg = 0.0 if pan_deg is None else pan_deg.middle
    pans = [middle_deg - 180 + (index + 0.5) * 360 / count for index in range(count)]
    if pan_deg is not None and not pan_deg.low <= pans[0] <= pans[-1] <= pan_deg.high:
        count = 1 + math.ceil((pan_deg.high - pan_deg.low) / step_deg)
        pans = [float(pan) for pan in np.linspace(pan_deg.low, pan_deg.high, count)]
    return tuple(Pose(pan_deg=pan, tilt_deg=config.tilt_deg, zoom=config.zoom) for pan in pans)


def _min_width_deg(fov: FieldOfView, config: SweepConfig) -> float:
    """Return the width of a picture in pan, in its narrowest row."""
    pose = Pose(pan_deg=0, tilt_deg=config.tilt_deg, zoom=config.zoom)
    right_edges_deg = [
        point_to_direction(fov, pose, Point(x=1.0, y=y)).pan_deg % 360 for y in (0.0, 0.5, 1.0)
    ]
    return 2 * min(right_edges_deg)


class Sweep:
    """One running sweep. `cancel` may be called on any thread, the rest on the head's.

    `get_image(since_ns)` returns an image that was taken at or after a boot time, or None as long as
    there is none.
    """

    def __init__(
        self,
        poses: tuple[Pose, ...],
        requester: Requester,
        get_image: Callable[[int], Image | None],
        *,
        speed: float,
        deadline_ns: int,
    ) -> None:
        self._poses = poses
        self.requester = requester
        self._get_image = get_image
        self._speed = speed
        self._deadline_ns = deadline_ns
        self._index = 0
        self._attempts = 0
        self._sent_ns: int | None = None
        self._settled_ns: int | None = None
        self._cancelled = False
        self._shots: list[Shot] = []
        self.outcome: SweepOutcome = "running"
        self.missing: tuple[str, ...] = ()
        """The reason for each pose without an image, one line each."""

    @property
    def shots(self) -> tuple[Shot, ...]:
        """The images so far, from left to right."""
        return tuple(self._shots)

    @property
    def pose_count(self) -> int:
        """The number of poses."""
        return len(self._poses)

    @property
    def progress(self) -> float:
        """The share of the round that is over, 0 to 1."""
        return self._index / len(self._poses)

    def cancel(self) -> None:
        """End it at the next step."""
        self._cancelled = True

    def step(self, t_ns: int, state: HeadState) -> MoveRequest | None:
        """Return the next move, or None if the head is to rest or the sweep is over."""
        if self._check_end(t_ns):
            return None
        if self._sent_ns is None:
            return self._go_to_pose(t_ns)
        if state.moving or not state.settled or state.position is None:
            self._settled_ns = None
            return None
        if not self._is_at_pose(state.position):
            return self._on_not_arrived(t_ns)
        self._capture(t_ns, state.position)
        return (
            self._go_to_pose(t_ns) if self.outcome == "running" and self._sent_ns is None else None
        )

    def on_rejected(self, t_ns: int, request: MoveRequest, rejection: CommandRejected) -> None:
        """Wait if a stronger requester has the head; otherwise skip the pose."""
        if self.outcome != "running":
            return
        if rejection.code in ("busy", "stale_token", "expired"):
            self._sent_ns = None
            return
        self._skip_pose(str(rejection))

    def _check_end(self, t_ns: int) -> bool:
        if self.outcome == "running" and self._cancelled:
            self.outcome = "cancelled"
        elif self.outcome == "running" and t_ns >= self._deadline_ns:
            self.outcome = "timed_out" if self._shots else "failed"
        return self.outcome != "running"

    def _capture(self, t_ns: int, position: PtzPosition) -> None:
        if self._settled_ns is None:
            self._settled_ns = t_ns
        image = self._get_image(self._settled_ns)
        if image is not None:
            self._shots.append(Shot(pose=position.pose, error_deg=position.error_deg, image=image))
            self._advance()

    def _go_to_pose(self, t_ns: int) -> MoveRequest:
        pose = self._poses[self._index]
        self._sent_ns, self._settled_ns = t_ns, None
        self._attempts += 1
        return AbsoluteMove(
            pan_deg=wrap_deg(pose.pan_deg),
            tilt_deg=pose.tilt_deg,
            zoom=pose.zoom,
            speed=self._speed,
        )

    def _is_at_pose(self, position: PtzPosition) -> bool:
        pose, target = position.pose, self._poses[self._index]
        here, there = (
            Direction(pan_deg=looked_at.pan_deg, tilt_deg=looked_at.tilt_deg)
            for looked_at in (pose, target)
        )
        return angle_between_deg(here, there) <= max(ARRIVED_WITHIN_DEG, 2 * position.error_deg)

    def _on_not_arrived(self, t_ns: int) -> MoveRequest | None:
        if self._sent_ns is not None and (t_ns - self._sent_ns) / 1e9 < ARRIVAL_TIMEOUT_S:
            return None
        if self._attempts < MAX_ATTEMPTS:
            return self._go_to_pose(t_ns)
        self._skip_pose("the head does not come to rest there")
        return None if self.outcome != "running" else self._go_to_pose(t_ns)

    def _skip_pose(self, reason: str) -> None:
        pan_deg = wrap_deg(self._poses[self._index].pan_deg)
        self.missing = (*self.missing, f"pan {pan_deg:.0f}: {reason}")
        self._advance()

    def _advance(self) -> None:
        self._index += 1
        self._attempts, self._sent_ns, self._settled_ns = 0, None, None
        if self._index == len(self._poses):
            self.outcome = "done" if self._shots else "failed"
