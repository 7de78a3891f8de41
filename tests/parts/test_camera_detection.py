"""agent.pipeline.camera_detection: the view of a camera over a gap in its pictures, and while masks hide all of it."""

import threading
from pathlib import Path
from typing import Any

import numpy as np

from agent.base.model import Event, FrameResult, ShiftTolerance, TrafficCounts
from agent.capture.camera_source import CameraSource
from agent.config.configuration import CameraConfig
from agent.detection.active_scene import ActiveScene, FixedScene
from agent.detection.detect_stage import MAX_PICTURE_GAP_S
from agent.detection.scene import PrivacyMask, Scene
from agent.faults.registry import FaultRegistry
from agent.pipeline.camera_detection import MAX_VIEW_AGE_NS, CameraDetection
from agent.pipeline.camera_services import CameraServices
from drivers.errors import DriverError
from drivers.masking import MaskPainter
from drivers.media import NS_PER_S, Frame, Plane, Point
from tests.pure.moving_view import street, turned
from tests.pure.rules.scripted_tracks import id_maker

GATE = Scene(mask=(PrivacyMask(polygon=(Point(0, 0), Point(0.1, 0), Point(0.1, 0.1))),))


def closed(*_: object) -> Any:
    raise DriverError("unreachable", "its pictures come from the test")


class Watched:
    """One camera whose detect stage is turned by hand. It is the destination of its own messages."""

    def __init__(self, folder: Path, clock: Any, scene: ActiveScene | FixedScene) -> None:
        self.clock = clock
        self.events: list[Event] = []
        self.results: list[FrameResult] = []
        self._painter = MaskPainter((), "north", scene.masks)
        source = CameraSource(
            config=CameraConfig(name="north", driver="fake"),
            scene=Scene(),
            open_main=closed,
            open_detect=None,
        )
        services = CameraServices(
            box_id="pole-17",
            state_dir=folder,
            clock=clock,
            faults=FaultRegistry(clock.boottime_ns),
            new_id=id_maker(),
            publisher=self,
            recording=None,  # type: ignore[arg-type] - nothing is recorded
        )
        self.detection = CameraDetection(
            source,
            services,
            scene,
            lambda _frame, result: self.results.append(result),
            lambda: None,
        )

    def publish_event(self, event: Event, jpeg: bytes | None = None) -> None:
        self.events.append(event)

    def publish_traffic_counts(self, counts: TrafficCounts) -> None:
        """Ignore them."""

    def publish_gap(self, camera: str, begin_ns: int, end_ns: int, reason: str) -> None:
        """Ignore it."""

    def publish_declaration(self) -> None:
        """Ignore it."""

    def see(self, seconds: int, *, turn: float = 0.0) -> None:
        chroma = np.full((90, 160), 128, np.uint8)
        for second in range(seconds):
            t_ns = self.clock.boottime_ns()
            picture: Plane = turned(street(second % 20), turn)
            y, u, v = self._painter.paint_planes((picture, chroma, chroma), t_ns)
            self.detection.frames.put(Frame(seq=0, t_ns=t_ns, y=y, u=u, v=v))
            self.detection.stage.run_once(threading.Event())
            self.clock.advance_s(1)

    def state(self) -> str | None:
        view = self.detection.view()
        return None if view is None else view.state


def test_a_camera_that_was_turned_while_it_gave_no_pictures_has_moved(
    tmp_path: Path, clock: Any
) -> None:
    watched = Watched(tmp_path, clock, FixedScene(Scene()))
    watched.see(30)
    clock.advance_s(2 * MAX_PICTURE_GAP_S)
    watched.see(15, turn=0.2)
    assert watched.state() == "moved"
    assert "view_moved" in {event.kind for event in watched.events}


def test_the_state_of_a_view_that_masks_hide_as_a_whole_is_unknown_after_a_while(
    tmp_path: Path, clock: Any
) -> None:
    scene = ActiveScene({"gate": GATE}, clock.boottime_ns)
    watched = Watched(tmp_path, clock, scene)
    scene.update_position("gate", True, ShiftTolerance(x=0.02, y=0.02))
    watched.see(10)
    scene.update_position(None, True, None)
    watched.see(MAX_VIEW_AGE_NS // NS_PER_S - 1)
    assert watched.state() == "good"
    watched.see(2)
    assert watched.state() is None
    assert len(watched.results) == 10 + 31
    scene.update_position("gate", True, ShiftTolerance(x=0.02, y=0.02))
    watched.see(2)
    assert watched.state() == "good"
    assert watched.events == []
