"""How far a head has moved in its life, and whether that is more than its maker promises.

    heads/mast/odometer.json    {"pan_deg": 81234.5, "tilt_deg": 4031.25, "starts": 5120, ...}

What is counted is what the positions show, so a head that reckons counts its reckoning. The file is
written at most four times an hour and when the agent stops; a crash loses what came since.
"""

import logging
from pathlib import Path

import msgspec

from agent.base.state_file import StateFile
from agent.config.heads import RatedLife
from drivers.angles import wrap_deg
from drivers.contracts import PtzPosition

log = logging.getLogger(__name__)

MIN_TRAVEL_DEG = 0.05
"""Less than this between two looks is the measurement's own trembling."""
SAVE_INTERVAL_S = 900.0
MAX_SAMPLE_GAP_S = 0.5
"""Between two looks that are further apart a motion's time is not known: it counts for as much."""


class Wear(msgspec.Struct, frozen=True, kw_only=True):
    """What a head has done in its life. Degrees are of each axis, to and fro; `starts` counts each
    time that an axis began to move, `reversals` that it then went the other way than before.
    """

    pan_deg: float = 0.0
    tilt_deg: float = 0.0
    starts: int = 0
    reversals: int = 0
    moving_s: float = 0.0


class _AxisState(msgspec.Struct):
    """One motor: whether it moves, and which way it went last."""

    is_moving: bool = False
    direction: float = 0.0


class Odometer:
    """Counts from position to position. Its head's stage alone calls `look` and `keep`."""

    def __init__(self, path: Path, rated_life: RatedLife) -> None:
        self._file = StateFile(path, Wear)
        self._rated_life = rated_life
        self.wear = self._saved_wear = self._file.load() or Wear()
        self._last_position: PtzPosition | None = None
        self._pan_axis, self._tilt_axis = _AxisState(), _AxisState()
        self._last_save_ns: int | None = None

    def update(self, position: PtzPosition | None) -> None:
        """The head is here now; None where nobody knows, and nothing is counted until it is known
        again.
        """
        last = self._last_position
        if position is None or last is None:
            self._last_position = position
            return
        pan = wrap_deg(position.pose.pan_deg - last.pose.pan_deg)
        tilt = position.pose.tilt_deg - last.pose.tilt_deg
        pan, tilt = (
            0.0 if abs(travel_deg) < MIN_TRAVEL_DEG else travel_deg for travel_deg in (pan, tilt)
        )
        if (
            position.error_deg > 2 * last.error_deg + 1
            or last.error_deg > 2 * position.error_deg + 1
        ):
            # Where it is became known or unknown: that is no motion.
            pan = tilt = 0.0
            self._last_position = position
        elapsed_s = min((position.t_ns - last.t_ns) / 1e9, MAX_SAMPLE_GAP_S)
        axis_changes = _update_axis(self._pan_axis, pan), _update_axis(self._tilt_axis, tilt)
        wear = self.wear
        if pan or tilt:
            # Places within the trembling add up against the last that was counted.
            self._last_position = position
            self.wear = Wear(
                pan_deg=wear.pan_deg + abs(pan),
                tilt_deg=wear.tilt_deg + abs(tilt),
                starts=wear.starts + sum(has_started for has_started, _ in axis_changes),
                reversals=wear.reversals + sum(has_reversed for _, has_reversed in axis_changes),
                moving_s=wear.moving_s + elapsed_s,
            )
        else:
            self._last_position = msgspec.structs.replace(last, t_ns=position.t_ns)

    def exceeded_rating(self) -> str | None:
        """What of the promise is used up, in a few words; None while it holds."""
        wear, rated_life = self.wear, self._rated_life
        degrees, hours = max(wear.pan_deg, wear.tilt_deg), wear.moving_s / 3600
        for unit, used, limit in (
            ("degrees", degrees, rated_life.degrees),
            ("starts", wear.starts, rated_life.starts),
            ("hours", hours, rated_life.hours),
        ):
            if limit is not None and used > limit:
                return f"{used:.0f} {unit} of {limit:.0f}"
        return None

    def save(self, t_ns: int, *, force: bool = False) -> None:
        """Write what is not written, where it is time, or `now`."""
        is_due = self._last_save_ns is None or (t_ns - self._last_save_ns) / 1e9 >= SAVE_INTERVAL_S
        if self.wear == self._saved_wear or not (is_due or force):
            return
        # A disk that refuses is not asked again before it is time.
        self._last_save_ns = t_ns
        try:
            self._file.write(self.wear)
        except OSError as error:
            log.error("%s: wear cannot be kept: %s", self._file.path, error)
            return
        self._saved_wear = self.wear


def _update_axis(axis: _AxisState, travel_deg: float) -> tuple[bool, bool]:
    """Whether an axis has started, and whether it has turned back."""
    has_started = bool(travel_deg) and not axis.is_moving
    has_reversed = travel_deg * axis.direction < 0
    axis.is_moving = bool(travel_deg)
    axis.direction = travel_deg or axis.direction
    return has_started or has_reversed, has_reversed
