"""Odometer: a head's travel in its life, compared with its maker's rating.

    heads/mast/odometer.json    a state file: {"pan_deg": 81234.5, "tilt_deg": 4031.25, "starts": 5120, ...}

Travel is taken from the reported positions; for a head that cannot report, from its estimated
ones. The file is written at most four times an hour and when the agent stops; a crash loses the
travel since then.
"""

import logging
from pathlib import Path

import msgspec

from agent.base.message import Message
from agent.base.state_file import StateFile
from agent.config.heads import RatedLife
from agent.runtime.pause import Pause
from drivers.angles import wrap_deg
from drivers.contracts import PtzPosition

log = logging.getLogger(__name__)

MIN_TRAVEL_DEG = 0.05
"""Less than this against the last counted position is the measurement's own noise."""
SAVE_INTERVAL_S = 900.0
MAX_SAMPLE_GAP_S = 0.5
"""The duration of a motion between positions further apart is unknown: it counts as this."""


class Wear(msgspec.Struct, frozen=True, kw_only=True):
    """The travel of a head in its life.

    Degrees are of each axis, in both directions; `starts` counts each time that an axis began to
    move, `reversals` each time that its direction was another than before.
    """

    pan_deg: float = 0.0
    tilt_deg: float = 0.0
    starts: int = 0
    reversals: int = 0
    moving_s: float = 0.0


class _AxisCounter:
    """One axis: the angle that was counted last, and its motion since."""

    def __init__(self) -> None:
        self._counted_deg = 0.0
        self._is_moving = False
        self._direction = 0.0

    def reset(self, angle_deg: float) -> None:
        """Count from this angle on; the way to it is no travel."""
        self._counted_deg, self._is_moving = angle_deg, False

    def update(self, angle_deg: float) -> tuple[float, bool, bool]:
        """Return the travel, and whether the axis has started, and reversed.

        Travel below the noise is not lost: it adds up against the angle that was counted last.
        """
        travel_deg = wrap_deg(angle_deg - self._counted_deg)
        if abs(travel_deg) < MIN_TRAVEL_DEG:
            self._is_moving = False
            return 0.0, False, False
        has_reversed = travel_deg * self._direction < 0
        has_started = has_reversed or not self._is_moving
        self._counted_deg, self._is_moving, self._direction = angle_deg, True, travel_deg
        return abs(travel_deg), has_started, has_reversed


class Odometer:
    """Counts from position to position. Called on the head stage's thread only."""

    def __init__(self, path: Path, rated_life: RatedLife) -> None:
        self._file = StateFile(path, Wear, label=f"{path.parent.name}/{path.name}")
        self._rated_life = rated_life
        self.wear = self._saved_wear = self._file.load() or Wear()
        self._last_position: PtzPosition | None = None
        self._pan, self._tilt = _AxisCounter(), _AxisCounter()
        self._save_pause = Pause()

    def update(self, position: PtzPosition | None) -> None:
        """Count the travel to a position; None if it is unknown, and so is the next travel."""
        last, self._last_position = self._last_position, position
        if position is None:
            return
        pose = position.pose
        if last is None or _is_jump(last.error_deg, position.error_deg):
            # The position became known or unknown, which is no motion.
            self._pan.reset(pose.pan_deg)
            self._tilt.reset(pose.tilt_deg)
            return
        (pan_deg, *pan_changes), (tilt_deg, *tilt_changes) = (
            self._pan.update(pose.pan_deg),
            self._tilt.update(pose.tilt_deg),
        )
        if not pan_deg and not tilt_deg:
            return
        wear, elapsed_s = self.wear, (position.t_ns - last.t_ns) / 1e9
        (pan_started, pan_reversed), (tilt_started, tilt_reversed) = pan_changes, tilt_changes
        self.wear = Wear(
            pan_deg=wear.pan_deg + pan_deg,
            tilt_deg=wear.tilt_deg + tilt_deg,
            starts=wear.starts + pan_started + tilt_started,
            reversals=wear.reversals + pan_reversed + tilt_reversed,
            moving_s=wear.moving_s + min(elapsed_s, MAX_SAMPLE_GAP_S),
        )

    def exceeded_rating(self) -> Message | None:
        """Return the first exceeded limit of the rated life as a short text, or None."""
        wear, rated_life = self.wear, self._rated_life
        degrees, hours = max(wear.pan_deg, wear.tilt_deg), wear.moving_s / 3600
        if rated_life.degrees is not None and degrees > rated_life.degrees:
            return Message(
                "{used:.0f} degrees of {limit:.0f}", used=degrees, limit=rated_life.degrees
            )
        if rated_life.starts is not None and wear.starts > rated_life.starts:
            return Message("{used} starts of {limit}", used=wear.starts, limit=rated_life.starts)
        if rated_life.hours is not None and hours > rated_life.hours:
            return Message("{used:.0f} hours of {limit:.0f}", used=hours, limit=rated_life.hours)
        return None

    def save(self, t_ns: int, *, force: bool = False) -> None:
        """Write new travel to the disk, if SAVE_INTERVAL_S has passed or `force` is given."""
        if self.wear == self._saved_wear or not (force or self._save_pause.is_over(t_ns)):
            return
        # Retried at the next interval only: a failing disk is not written to in each cycle.
        self._save_pause.begin(t_ns, SAVE_INTERVAL_S)
        try:
            self._file.write(self.wear)
        except OSError as error:
            log.error("%s: the odometer cannot be saved: %s", self._file.path, error)
            return
        self._saved_wear = self.wear


def _is_jump(last_error_deg: float, error_deg: float) -> bool:
    return error_deg > 2 * last_error_deg + 1 or last_error_deg > 2 * error_deg + 1
