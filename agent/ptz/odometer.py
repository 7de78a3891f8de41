"""How far a head has moved in its life, and whether that is more than its maker promises.

    heads/mast/wear.json    {"pan_deg": 81234.5, "tilt_deg": 4031.25, "starts": 5120, ...}

What is counted is what the positions show, so a head that reckons counts its reckoning. The file is
written at most four times an hour and when the agent stops; a crash loses what came since.
"""

import logging
from pathlib import Path

import msgspec

from agent.base import state_file
from agent.config.heads import Promise
from drivers.angles import wrap_deg
from drivers.contracts import PtzPosition

log = logging.getLogger(__name__)

STILL_DEG = 0.05
"""Less than this between two looks is the measurement's own trembling."""
KEEP_EVERY_S = 900.0
LONGEST_LOOK_S = 0.5
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


class _Axis(msgspec.Struct):
    """One motor: whether it moves, and which way it went last."""

    moves: bool = False
    way: float = 0.0


class Odometer:
    """Counts from position to position. Its head's stage alone calls `look` and `keep`."""

    def __init__(self, path: Path, promise: Promise) -> None:
        self._path = path
        self._promise = promise
        self.wear = self._kept = _read(path)
        self._last: PtzPosition | None = None
        self._pan, self._tilt = _Axis(), _Axis()
        self._kept_ns: int | None = None

    def look(self, position: PtzPosition | None) -> None:
        """The head is here now; None where nobody knows, and nothing is counted until it is known
        again.
        """
        last = self._last
        if position is None or last is None:
            self._last = position
            return
        pan = wrap_deg(position.pose.pan_deg - last.pose.pan_deg)
        tilt = position.pose.tilt_deg - last.pose.tilt_deg
        pan, tilt = (0.0 if abs(way) < STILL_DEG else way for way in (pan, tilt))
        if (
            position.error_deg > 2 * last.error_deg + 1
            or last.error_deg > 2 * position.error_deg + 1
        ):
            # Where it is became known or unknown: that is no motion.
            pan = tilt = 0.0
            self._last = position
        lasted_s = min((position.t_ns - last.t_ns) / 1e9, LONGEST_LOOK_S)
        started = _step(self._pan, pan), _step(self._tilt, tilt)
        wear = self.wear
        if pan or tilt:
            # Places within the trembling add up against the last that was counted.
            self._last = position
            self.wear = Wear(
                pan_deg=wear.pan_deg + abs(pan),
                tilt_deg=wear.tilt_deg + abs(tilt),
                starts=wear.starts + sum(start for start, _ in started),
                reversals=wear.reversals + sum(back for _, back in started),
                moving_s=wear.moving_s + lasted_s,
            )
        else:
            self._last = msgspec.structs.replace(last, t_ns=position.t_ns)

    def worn(self) -> str | None:
        """What of the promise is used up, in a few words; None while it holds."""
        wear, promise = self.wear, self._promise
        degrees, hours = max(wear.pan_deg, wear.tilt_deg), wear.moving_s / 3600
        for name, used, most in (
            ("degrees", degrees, promise.degrees),
            ("starts", wear.starts, promise.starts),
            ("hours", hours, promise.hours),
        ):
            if most is not None and used > most:
                return f"{used:.0f} {name} of {most:.0f}"
        return None

    def keep(self, t_ns: int, *, now: bool = False) -> None:
        """Write what is not written, where it is time, or `now`."""
        due = self._kept_ns is None or (t_ns - self._kept_ns) / 1e9 >= KEEP_EVERY_S
        if self.wear == self._kept or not (due or now):
            return
        # A disk that refuses is not asked again before it is time.
        self._kept_ns = t_ns
        try:
            state_file.keep(self._path, msgspec.json.encode(self.wear))
        except OSError as error:
            log.error("%s: wear cannot be kept: %s", self._path, error)
            return
        self._kept = self.wear


def _step(axis: _Axis, way: float) -> tuple[bool, bool]:
    """Whether an axis has started, and whether it has turned back."""
    starts = bool(way) and not axis.moves
    back = way * axis.way < 0
    axis.moves = bool(way)
    axis.way = way or axis.way
    return starts or back, back


def _read(path: Path) -> Wear:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Wear)
    except FileNotFoundError:
        return Wear()
    except (OSError, msgspec.MsgspecError) as error:
        log.error("%s: %s", path, error)
        state_file.set_aside(path)
        return Wear()
