"""Counts of one box in the newest hour, from the minutes that it sends. Pure.

V85 needs 50 vehicles, which an hour has and a minute has not. Names, rows and numbers are bounded: a message may have 16 MB.
"""

from collections import Counter
from collections.abc import Iterator, Mapping

import msgspec

from agent.base.count_proof import UnvalidatedCounts, ValidatedCounts
from agent.base.model import Label, SpeedCounts
from agent.base.speed_bands import BAND_KM_H, TOP_BAND_KM_H, add_speeds
from agent.reporting.payloads import TrafficCountsData, TrafficCountsMessage
from centre.fleet.wire_text import clean_text

MAX_ROWS = 32
MAX_COUNT = 10_000
"""Road users of one label in one minute, which no line has."""
_MAX_CLIPS = 1_000_000
_BANDS = range(0, TOP_BAND_KM_H + 1, BAND_KM_H)


class CountRow(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of one direction of a line, or of one turning flow. `speeds` is None without a calibration of the ground.

    `validated` has the largest measured error of the minutes that are validated, `unvalidated` why the first other one is
    not; either is None if there is no such minute, or if the reason is not known.
    """

    camera: str
    name: str
    counts: Mapping[Label, int]
    speeds: SpeedCounts | None
    minutes: int = 1
    untrusted_minutes: int
    validated: ValidatedCounts | None
    unvalidated: UnvalidatedCounts | None
    unvalidated_minutes: int


class HourCounts(msgspec.Struct, frozen=True, kw_only=True):
    """`hour` is that of the newest minute, by the box's clock. `newest` is the epoch and number of its message."""

    hour: str = ""
    newest: tuple[str, int] = ("", 0)
    rows: tuple[CountRow, ...] = ()

    @property
    def begin(self) -> str:
        """The time of the day at which the hour began, in UTC."""
        return f"{self.hour[11:13]}:00"

    def add(self, message: TrafficCountsMessage) -> "HourCounts":
        """Return the counts with those of another minute. A message that came before it is a repeat, and is left out."""
        if message.seq is None or (
            message.epoch == self.newest[0] and message.seq <= self.newest[1]
        ):
            return self
        hour = message.data.begin_time[:13]
        known = {(row.camera, row.name): row for row in self.rows} if hour == self.hour else {}
        for row in _iter_rows(message.data):
            key = row.camera, row.name
            if key in known:
                known[key] = _sum(known[key], row)
            elif len(known) < MAX_ROWS:
                known[key] = row
        return HourCounts(
            hour=hour,
            newest=(message.epoch, message.seq),
            rows=tuple(known[key] for key in sorted(known)),
        )


def _iter_rows(data: TrafficCountsData) -> Iterator[CountRow]:
    """Yield the first rows of a minute."""
    camera, untrusted_minutes = clean_text(data.camera), int(not data.trusted)
    found = data.validation
    validated = _bounded_validation(found) if isinstance(found, ValidatedCounts) else None
    unvalidated = found if isinstance(found, UnvalidatedCounts) else None
    for line in data.lines[:MAX_ROWS]:
        speeds = line.speeds if isinstance(line.speeds, dict) else {}
        for direction in sorted(line.counts)[:MAX_ROWS]:
            yield CountRow(
                camera=camera,
                name=clean_text(f"line {line.name!r}, {direction}"),
                counts=_bounded_counts(line.counts[direction]),
                speeds=_bounded_speeds(speeds.get(direction)),
                untrusted_minutes=untrusted_minutes,
                validated=validated,
                unvalidated=unvalidated,
                unvalidated_minutes=int(validated is None),
            )
    for flow in data.flows[:MAX_ROWS]:
        yield CountRow(
            camera=camera,
            name=clean_text(f"flow {flow.name!r}"),
            counts=_bounded_counts(flow.counts),
            speeds=None,
            untrusted_minutes=untrusted_minutes,
            # A proof is of crossings of lines alone.
            validated=None,
            unvalidated=None,
            unvalidated_minutes=1,
        )


def _sum(total: CountRow, minute: CountRow) -> CountRow:
    parts = [speeds for speeds in (total.speeds, minute.speeds) if speeds is not None]
    errors = [one for one in (total.validated, minute.validated) if one is not None]
    return CountRow(
        camera=total.camera,
        name=total.name,
        counts=Counter(total.counts) + Counter(minute.counts),
        speeds=add_speeds(parts) if parts else None,
        minutes=total.minutes + 1,
        untrusted_minutes=total.untrusted_minutes + minute.untrusted_minutes,
        validated=min(errors, key=lambda one: one.f1_low, default=None),
        unvalidated=total.unvalidated or minute.unvalidated,
        unvalidated_minutes=total.unvalidated_minutes + minute.unvalidated_minutes,
    )


def _bounded_validation(validation: ValidatedCounts) -> ValidatedCounts:
    """Return the figures within their limits, without the texts."""
    f1, low, high, unverifiable = (
        min(max(share, 0.0), 1.0)
        for share in (
            validation.f1,
            validation.f1_low,
            validation.f1_high,
            validation.unverifiable_share,
        )
    )
    return msgspec.structs.replace(
        validation,
        f1=f1,
        f1_low=low,
        f1_high=high,
        unverifiable_share=unverifiable,
        clips=min(max(validation.clips, 0), _MAX_CLIPS),
        time="",
        by="",
    )


def _bounded_counts(counts: Mapping[Label, int]) -> Mapping[Label, int]:
    return {label: min(count, MAX_COUNT) for label, count in counts.items() if count > 0}


def _bounded_speeds(speeds: SpeedCounts | None) -> SpeedCounts | None:
    """Return the speeds by the bands that there are; V85 is computed from them."""
    if speeds is None:
        return None
    bounded = {
        label: {band: min(bands[band], MAX_COUNT) for band in _BANDS if bands.get(band, 0) > 0}
        for label, bands in speeds.bands.items()
    }
    return add_speeds([SpeedCounts(v85_km_h=None, bands=bounded)])
