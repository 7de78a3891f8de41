"""Bands of speed in traffic counts, and V85 from them: the speed that 85 of 100 vehicles do not exceed. Pure.

Counts by band add up over minutes, lines and cameras, and keep no speed of a single vehicle.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from statistics import NormalDist

from agent.base.model import Label, SpeedCounts

BAND_KM_H = 10
TOP_BAND_KM_H = 200
"""The last band has no upper end."""
MOTOR_VEHICLES: frozenset[Label] = frozenset({"motorcycle", "car", "bus", "truck"})
V85_MIN_COUNT = 50
"""Of 50 vehicles V85 has a standard error of 3 km/h by chance, of 200 one of 1.5 (BrnoCompSpeed)."""
_V85_SHARE = 0.85
_NORMAL = NormalDist()


def speed_band(speed_km_h: float) -> int:
    """Return the lower end of the band of a speed, in km/h."""
    return min(int(speed_km_h // BAND_KM_H) * BAND_KM_H, TOP_BAND_KM_H)


def describe_band(band: int) -> str:
    """Return both ends of a band."""
    return f"{band}+" if band == TOP_BAND_KM_H else f"{band}-{band + BAND_KM_H}"


def add_speeds(parts: Iterable[SpeedCounts]) -> SpeedCounts:
    """Return the speeds of several minutes, or of several lines, as those of one."""
    total: dict[Label, Counter[int]] = {}
    for part in parts:
        for label, bands in part.bands.items():
            total.setdefault(label, Counter()).update(bands)
    return speed_counts(total)


def speed_counts(bands: Mapping[Label, Mapping[int, int]]) -> SpeedCounts:
    """Return counts by label and band, in their order, with V85."""
    return SpeedCounts(
        v85_km_h=v85_km_h(bands),
        bands={label: dict(sorted(bands[label].items())) for label in sorted(bands)},
    )


def v85_km_h(bands: Mapping[Label, Mapping[int, int]]) -> float | None:
    """Return V85 of the motor vehicles, or None of fewer than V85_MIN_COUNT.

    Between the ends of a band the speed is linear in the deviate of the normal distribution, as on probability paper:
    speeds are denser at the end that is nearer to the mean.
    """
    counts: Counter[int] = Counter()
    for label in MOTOR_VEHICLES & bands.keys():
        counts.update(bands[label])
    total = counts.total()
    if total < V85_MIN_COUNT:
        return None
    below = 0
    for band, count in sorted(counts.items()):
        if below + count >= _V85_SHARE * total:
            lower, upper = _deviate(below, total), _deviate(below + count, total)
            share = (_NORMAL.inv_cdf(_V85_SHARE) - lower) / (upper - lower)
            return round(band + BAND_KM_H * share, 1)
        below += count
    return None


def _deviate(below: int, total: int) -> float:
    """Return the normal deviate of a share; none and all are half a vehicle off."""
    return _NORMAL.inv_cdf(min(max(below, 0.5), total - 0.5) / total)
