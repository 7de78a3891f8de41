"""Words of traffic counts, as `vigie count`, `vigie replay` and `vigie watch` print them. Pure."""

from collections import Counter
from collections.abc import Mapping

from agent.base.count_proof import CountValidation, UnvalidatedCounts
from agent.base.model import Label, SpeedCounts
from agent.base.speed_bands import describe_band


def describe_counts(counts: Mapping[Label, int], speeds: SpeedCounts | None = None) -> str:
    """Return the total, the number of each label if there is one, and the speeds on calibrated ground."""
    by_label = ", ".join(f"{label} {number}" for label, number in sorted(counts.items()))
    text = f"{sum(counts.values())}" + (f" ({by_label})" if by_label else "")
    return text if speeds is None else f"{text}{_describe_speeds(speeds)}"


def describe_validation(validation: CountValidation) -> str:
    """Return the measured error of counts in their light, or why there is none."""
    light = "at night" if validation.light == "night" else "by day"
    if isinstance(validation, UnvalidatedCounts):
        return f"not validated ({light}: {validation.reason.replace('_', ' ')})"
    return (
        f"F1 {validation.f1:.1%} ({validation.f1_low:.1%} to {validation.f1_high:.1%}) {light}, "
        f"{validation.clips} clips, {validation.unverifiable_share:.1%} unverifiable"
    )


def _describe_speeds(speeds: SpeedCounts) -> str:
    """Describe the speeds at a line: the road users that have one, V85 of the motor vehicles, and all by band."""
    bands = sum((Counter(one) for one in speeds.bands.values()), Counter[int]())
    v85 = "" if speeds.v85_km_h is None else f", V85 {speeds.v85_km_h:.0f} km/h"
    by_band = ", ".join(f"{describe_band(band)} {number}" for band, number in sorted(bands.items()))
    return f"; speeds: {bands.total()}{v85}" + (f" (km/h: {by_band})" if by_band else "")
