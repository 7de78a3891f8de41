"""Traffic counts by the minute: crossings of each line, occupancy of each zone, and turning flows."""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import msgspec

from agent.base.model import FlowCounts, Label, LineCounts, TrafficCounts, ZoneCounts
from agent.base.speed_bands import speed_band, speed_counts
from agent.base.view_condition import FLOW_LIMITS, VIEW_LIMITS, FlowLimit, ViewLimit
from agent.config.multi_camera import CameraFlow
from agent.detection.crossing_speeds import CrossingSpeed
from agent.detection.flow_counter import FlowPassage
from agent.detection.rules.line_crossing import Crossing
from agent.detection.rules.zone_occupancy import ZoneOccupancy
from agent.detection.scene import Scene, SceneFlow, SceneLine, Zone

MINUTE_NS = 60_000_000_000
MINUTES_OF_A_DAY = 24 * 60
MAX_STEP_NS = 3_000_000_000
"""A longer gap between two frames does not count as observed. Keyframes of a still street are up to 2.5 s apart."""

MIN_LIMITED_RATIO = 0.1
"""Part of the observed time of a minute from which on a limit of the view makes its counts untrusted.

If half of the road users are missed in it, a twentieth is missed in the minute: as many as in a good view. A limit is
diagnosed when it has lasted some seconds, so the part is also longer than a lorry that fills the picture.
"""

NO_LIMITS: Mapping[str, Iterable[FlowLimit]] = {}
LimitT = TypeVar("LimitT", ViewLimit, FlowLimit)


class TrafficCounter:
    """Counts one camera's traffic in whole minutes of `t_ns`.

    A crossing is counted in the minute in which it became certain, so that no minute is sent twice.
    A minute without a frame is not sent. The first one begins with the first frame: the time before belongs to another counter, or to none.
    """

    def __init__(
        self,
        camera: str,
        scene: Scene,
        small_labels: Callable[[str], tuple[Label, ...]],
        camera_flows: Iterable[CameraFlow] = (),
    ) -> None:
        """`small_labels` returns the labels that are too small at a line or zone now.

        `camera_flows` are those from other cameras.
        """
        self._camera = camera
        self._small_labels = small_labels
        is_measured = scene.ground is not None
        self._line_counts = {
            line.name: _LineCount(line, is_measured=is_measured) for line in scene.line
        }
        self._zone_stats = {zone.name: _ZoneStats(zone) for zone in scene.zone}
        self._flow_counts = {flow.name: _FlowCount(flow) for flow in scene.flow}
        self._camera_flow_counts = {flow.name: _CameraFlowCount(flow) for flow in camera_flows}
        self._begin_ns: int | None = None
        self._last_frame_ns: int | None = None
        self._watched_ns = 0
        self._limited_ns: Counter[ViewLimit] = Counter()

    def close_before(self, t_ns: int) -> tuple[TrafficCounts, ...]:
        """Return the minute that is over at `t_ns`, if one is. Call it before `observe`."""
        if self._begin_ns is None or t_ns < minute_end_ns(self._begin_ns):
            return ()
        return self._close_minute(minute_end_ns(self._begin_ns))

    def flush(self, t_ns: int) -> tuple[TrafficCounts, ...]:
        """Return the minute that is cut short at `t_ns`."""
        if self._begin_ns is None:
            return ()
        return self._close_minute(min(t_ns, minute_end_ns(self._begin_ns)))

    def observe(
        self,
        t_ns: int,
        occupancies: Mapping[str, ZoneOccupancy],
        limits: Iterable[ViewLimit],
        flow_limits: Mapping[str, Iterable[FlowLimit]] = NO_LIMITS,
    ) -> None:
        """Add the occupancy of each zone, by its name, and the limits of the view at the time of a frame.

        `flow_limits` are those of the flows from other cameras, by their names.
        """
        if self._begin_ns is None:
            is_first = self._last_frame_ns is None
            self._begin_ns = t_ns if is_first else minute_end_ns(t_ns) - MINUTE_NS
        step_ns = (
            0 if self._last_frame_ns is None else t_ns - max(self._last_frame_ns, self._begin_ns)
        )
        self._last_frame_ns = t_ns
        step_ns = step_ns if step_ns <= MAX_STEP_NS else 0
        self._watched_ns += step_ns
        for limit in limits:
            self._limited_ns[limit] += step_ns
        for name, found in flow_limits.items():
            self._camera_flow_counts[name].limit(found, step_ns)
        for name, occupancy in occupancies.items():
            self._zone_stats[name].add(_count_present(occupancy), step_ns)

    def count_crossings(self, crossings: Iterable[Crossing]) -> None:
        """Count the crossings that became certain at the frame that was observed last."""
        for crossing in crossings:
            counts = self._line_counts[crossing.line.name].counts
            counts[crossing.direction][crossing.track.label] += 1

    def count_speeds(self, speeds: Iterable[CrossingSpeed]) -> None:
        """Count the speeds that became final at the frame that was observed last."""
        for speed in speeds:
            crossing = speed.crossing
            bands = self._line_counts[crossing.line.name].bands[crossing.direction]
            bands.setdefault(crossing.track.label, Counter())[speed_band(speed.speed_km_h)] += 1

    def count_flows(self, passages: Iterable[FlowPassage]) -> None:
        """Count the ways that became certain at the frame that was observed last."""
        for passage in passages:
            self._flow_counts[passage.flow.name].counts[passage.track.label] += 1

    def count_camera_flows(self, counts: Mapping[str, Counter[Label]]) -> None:
        """Add what the flows from other cameras have counted, by their names."""
        for name, labels in counts.items():
            self._camera_flow_counts[name].counts.update(labels)

    def _close_minute(self, end_ns: int) -> tuple[TrafficCounts, ...]:
        begin_ns, watched_ns = self._begin_ns or 0, self._watched_ns
        limited_ns = self._limited_ns
        self._begin_ns, self._watched_ns, self._limited_ns = None, 0, Counter()
        reasons = _reasons(VIEW_LIMITS, limited_ns, watched_ns)
        minute = TrafficCounts(
            camera=self._camera,
            begin_ns=begin_ns,
            end_ns=end_ns,
            observed_s=round(watched_ns / 1e9, 3),
            trusted=not reasons,
            untrusted_reasons=reasons,
            lines=tuple(
                line.pop_counts(self._small_labels(name))
                for name, line in self._line_counts.items()
            ),
            zones=tuple(
                zone.pop_stats(watched_ns, self._small_labels(name))
                for name, zone in self._zone_stats.items()
            ),
            flows=(
                *(flow.pop_counts() for flow in self._flow_counts.values()),
                *(flow.pop_counts(watched_ns) for flow in self._camera_flow_counts.values()),
            ),
        )
        return (minute,)


class CountableTime:
    """The part of the last day for which counts are trusted. One thread adds minutes; others may read the ratio.

    Time in which the camera gave no pictures, or in which nothing was detected, is not countable either.
    """

    def __init__(self, begin_ns: int) -> None:
        """The time before `begin_ns` is not known, and not judged."""
        self._begin_ns = begin_ns
        self._trusted: deque[tuple[int, float]] = deque(maxlen=MINUTES_OF_A_DAY)

    def add(self, minute: TrafficCounts) -> None:
        """Add a minute, or a part of one that a change of the scene cut."""
        if not minute.trusted:
            return
        end_ns, observed_s = minute_end_ns(minute.begin_ns), minute.observed_s
        if self._trusted and self._trusted[-1][0] == end_ns:
            observed_s += self._trusted.pop()[1]
        self._trusted.append((end_ns, observed_s))

    def ratio(self, t_ns: int) -> float | None:
        """Return the ratio up to the minute that is certain at `t_ns`, or None in the first minute."""
        end_ns = (t_ns - MAX_STEP_NS) // MINUTE_NS * MINUTE_NS
        begin_ns = max(self._begin_ns, end_ns - MINUTES_OF_A_DAY * MINUTE_NS)
        if end_ns - begin_ns < MINUTE_NS:
            return None
        trusted_s = sum(
            seconds
            for minute_end_ns, seconds in tuple(self._trusted)
            if begin_ns < minute_end_ns <= end_ns
        )
        return round(min(1.0, trusted_s * 1e9 / (end_ns - begin_ns)), 2)


def minute_end_ns(t_ns: int) -> int:
    """Return the end of the minute that a time is in."""
    return t_ns - t_ns % MINUTE_NS + MINUTE_NS


def _count_present(occupancy: ZoneOccupancy) -> Counter[Label]:
    """Count the road users of a zone that are tracked or shown; those only remembered do not count."""
    return Counter(visit.user.label for visit in occupancy.visits if visit.user.is_present)


def _reasons(
    limits: Iterable[LimitT], limited_ns: Mapping[LimitT, int], watched_ns: int
) -> tuple[LimitT, ...]:
    """Return the limits that held for so long that counts are not to be trusted."""
    return tuple(
        limit
        for limit in limits
        if limit in limited_ns and limited_ns[limit] >= MIN_LIMITED_RATIO * watched_ns
    )


class _LineCount:
    def __init__(self, line: SceneLine, *, is_measured: bool) -> None:
        self._directions = (line.forward_name, line.backward_name)
        self._name = line.name
        self._is_measured = is_measured
        self._reset()

    def pop_counts(self, small: tuple[Label, ...]) -> LineCounts:
        """Return the counts and reset them."""
        counts: dict[str, dict[Label, int]] = {
            direction: dict(sorted(labels.items())) for direction, labels in self.counts.items()
        }
        speeds = {direction: speed_counts(bands) for direction, bands in self.bands.items()}
        self._reset()
        return LineCounts(
            name=self._name,
            small=small,
            counts=counts,
            speeds=speeds if self._is_measured else msgspec.UNSET,
        )

    def _reset(self) -> None:
        self.counts: dict[str, Counter[Label]] = {one: Counter() for one in self._directions}
        self.bands: dict[str, dict[Label, Counter[int]]] = {one: {} for one in self._directions}


class _FlowCount:
    def __init__(self, flow: SceneFlow) -> None:
        self._flow = flow
        self.counts: Counter[Label] = Counter()

    def pop_counts(self) -> FlowCounts:
        """Return the counts and reset them."""
        counts, self.counts = self.counts, Counter()
        return FlowCounts(
            name=self._flow.name,
            origin=self._flow.origin,
            destination=self._flow.destination,
            counts=dict(sorted(counts.items())),
        )


class _CameraFlowCount:
    """A flow from another camera, and how long each limit held."""

    def __init__(self, flow: CameraFlow) -> None:
        self._flow = flow
        self._reset()

    def limit(self, limits: Iterable[FlowLimit], step_ns: int) -> None:
        """Add the limits that held for a time."""
        for limit in limits:
            self._limited_ns[limit] += step_ns

    def pop_counts(self, watched_ns: int) -> FlowCounts:
        """Return the counts and reset them."""
        reasons = _reasons(FLOW_LIMITS, self._limited_ns, watched_ns)
        counts = dict(sorted(self.counts.items()))
        self._reset()
        return FlowCounts(
            name=self._flow.name,
            from_camera=self._flow.origin.camera,
            origin=self._flow.origin.name,
            destination=self._flow.destination.name,
            counts=counts,
            trusted=not reasons,
            untrusted_reasons=reasons,
        )

    def _reset(self) -> None:
        self.counts: Counter[Label] = Counter()
        self._limited_ns: Counter[FlowLimit] = Counter()


class _ZoneStats:
    def __init__(self, zone: Zone) -> None:
        self._name = zone.name
        self._present_ns: Counter[Label] = Counter()
        self._peak: dict[Label, int] = {}

    def add(self, present: Counter[Label], step_ns: int) -> None:
        """Add the road users in the zone for a time."""
        for label, number in present.items():
            self._present_ns[label] += number * step_ns
            self._peak[label] = max(number, self._peak.get(label, 0))

    def pop_stats(self, watched_ns: int, small: tuple[Label, ...]) -> ZoneCounts:
        """Return mean and peak, and reset them."""
        mean: dict[Label, float] = {
            label: round(present_ns / max(watched_ns, 1), 3)
            for label, present_ns in sorted(self._present_ns.items())
        }
        stats = ZoneCounts(
            name=self._name, small=small, mean=mean, peak=dict(sorted(self._peak.items()))
        )
        self._present_ns, self._peak = Counter(), {}
        return stats
