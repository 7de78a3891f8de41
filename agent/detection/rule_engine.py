"""The rule engine of one camera: frame results and a scene in, events and traffic counts out."""

from collections.abc import Callable, Sequence
from functools import partial

from agent.base.event_lifecycle import NewId
from agent.base.model import Event, FrameResult, GroundMotion, TrafficCounts
from agent.detection.crossing_speeds import CrossingSpeed, CrossingSpeeds
from agent.detection.flow_counter import FlowCounter, FlowPassage, iter_passages
from agent.detection.multi_camera_tracker import CameraTracks
from agent.detection.rules.line_crossing import Crossing, LineCrossingDetector
from agent.detection.rules.registry import LINE_RULES, NEEDS, SCENE_RULES, ZONE_RULES
from agent.detection.rules.road_users import TrackMemory
from agent.detection.rules.rule import AreaT, Rule, RuleContext, RuleType
from agent.detection.rules.scene_ground import SceneGround
from agent.detection.rules.static_foreground import StaticForeground
from agent.detection.rules.view_support import ViewSupport
from agent.detection.rules.zone_occupancy import ZoneOccupancy
from agent.detection.rules.zone_schedule import ZoneSchedule
from agent.detection.scene import Scene, Zone
from agent.detection.traffic_counter import TrafficCounter


def _make_rules(
    rule_types: Sequence[RuleType[AreaT]], areas: Sequence[AreaT], context: RuleContext
) -> list[Rule]:
    """Return the rules of each area, as far as its keys ask for them."""
    rules = [rule_type.make(area, context) for area in areas for rule_type in rule_types]
    return [rule for rule in rules if rule is not None]


def _zone_rules(zone: Zone, context: RuleContext) -> list[Rule]:
    make_rules = partial(_make_rules, ZONE_RULES, [zone])
    if zone.hours is None:
        return make_rules(context)
    return [ZoneSchedule(zone.hours, context, make_rules)]


def _make_static_foreground(scene: Scene, road_users: TrackMemory) -> StaticForeground | None:
    times_s = [zone.object_after_s for zone in scene.zone if zone.object_after_s is not None]
    if not times_s:
        return None
    return StaticForeground(min(times_s), scene.excluded_polygons, road_users)


class RuleEngine:
    """Runs the registered rules on the results of one camera, in the order of their time.

    Deterministic: the same results and the same `new_id` give the same events, because there is
    neither a clock nor randomness in a rule.
    """

    def __init__(
        self,
        camera: str,
        scene: Scene,
        new_id: NewId,
        is_ground_stale: Callable[[], bool] = lambda: False,
        camera_tracks: CameraTracks | None = None,
        before_gap: "RuleEngine | None" = None,
    ) -> None:
        """`is_ground_stale` says whether the view has moved since the scene's ground was calibrated.

        `camera_tracks` joins the road users with those of other cameras. `before_gap` is the engine of the same scene before a
        gap in the pictures: an object that was left in it is found by the background from before.
        """
        ground = SceneGround(scene, is_ground_stale)
        self._road_users = TrackMemory(ground)
        self._context = RuleContext(
            camera=camera,
            new_id=new_id,
            ground=ground,
            road_users=self._road_users,
            crossing_detectors={
                line.name: LineCrossingDetector(line, self._road_users) for line in scene.line
            },
            occupancies={zone.name: ZoneOccupancy(zone, self._road_users) for zone in scene.zone},
            static_foreground=_make_static_foreground(scene, self._road_users)
            if before_gap is None
            else before_gap.hand_over_static_foreground(self._road_users),
        )
        self._rules: list[Rule] = [
            *_make_rules(LINE_RULES, scene.line, self._context),
            *(rule for zone in scene.zone for rule in _zone_rules(zone, self._context)),
            *_make_rules(SCENE_RULES, [scene], self._context),
        ]
        self._crossing_speeds = CrossingSpeeds(self._road_users)
        self.crossings: tuple[Crossing, ...] = ()
        self.final_speeds: tuple[CrossingSpeed, ...] = ()
        self.flow_passages: tuple[FlowPassage, ...] = ()
        """Those that the last frame made certain. `flush_counts` makes the last speeds final."""
        self.view_support = ViewSupport(scene, ground, NEEDS)
        self._camera_tracks = camera_tracks
        self._traffic_counter = TrafficCounter(
            camera,
            scene,
            self.view_support.small_labels,
            () if camera_tracks is None else camera_tracks.flows,
        )
        self._flow_counter = FlowCounter(
            scene,
            self._road_users,
            self._context.crossing_detectors,
            self._context.occupancies,
        )

    def evaluate(self, result: FrameResult) -> tuple[Event, ...]:
        """Return the events of one frame. Call `completed_counts` before this."""
        context = self._context
        context.ground.step()
        result = self.view_support.step(result)
        self._road_users.step(result)
        for occupancy in context.occupancies.values():
            occupancy.step(result.t_ns)
        if context.static_foreground is not None:
            context.static_foreground.step(result)
        limits = () if result.view is None else result.view.limits
        tracks = self._camera_tracks
        flow_limits = {} if tracks is None else tracks.flow_limits(result.t_ns)
        self._traffic_counter.observe(result.t_ns, context.occupancies, limits, flow_limits)
        for detector in context.crossing_detectors.values():
            detector.step()
        self.crossings = tuple(
            crossing
            for detector in context.crossing_detectors.values()
            for crossing in detector.crossings
        )
        self.final_speeds = self._crossing_speeds.step(result.t_ns, self.crossings)
        self.flow_passages = self._flow_counter.step()
        self._traffic_counter.count_crossings(self.crossings)
        self._traffic_counter.count_speeds(self.final_speeds)
        self._traffic_counter.count_flows(self.flow_passages)
        if tracks is not None:
            passages = iter_passages(context.crossing_detectors.values(), context.occupancies)
            plane, road_users = context.ground.plane, self._road_users
            counts = tracks.step(result.t_ns, road_users, passages, plane, limits)
            self._traffic_counter.count_camera_flows(counts)
        mark = self.view_support.mark
        return tuple(mark(event) for rule in self._rules for event in rule.step(result))

    def hand_over_static_foreground(self, road_users: TrackMemory) -> StaticForeground | None:
        """Return the static foreground, which goes by other road users from now on."""
        found = self._context.static_foreground
        if found is not None:
            found.follow(road_users)
        return found

    def ground_motions(self) -> dict[int, GroundMotion]:
        """Return place and motion on the ground of the tracks of the last frame, by their ids, as far as they are known."""
        return {
            user.track.id: motion
            for user in self._road_users
            if user.is_visible and (motion := user.ground_motion()) is not None
        }

    def completed_counts(self, t_ns: int) -> tuple[TrafficCounts, ...]:
        """Return the counts of the minute that is over at `t_ns`, if one is."""
        return self._traffic_counter.close_before(t_ns)

    def flush(self, t_ns: int) -> tuple[Event, ...]:
        """End every open event: the stream is over, or the camera turns."""
        mark = self.view_support.mark
        return tuple(mark(event) for rule in self._rules for event in rule.flush(t_ns))

    def flush_counts(self, t_ns: int) -> tuple[TrafficCounts, ...]:
        """Return the counts of the minute that is cut short at `t_ns`."""
        self.final_speeds = self._crossing_speeds.flush()
        self._traffic_counter.count_speeds(self.final_speeds)
        return self._traffic_counter.flush(t_ns)
