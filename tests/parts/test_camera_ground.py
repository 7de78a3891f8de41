"""agent.pipeline.camera_ground: the fault of a calibration whose view has moved, over restarts and new scenes."""

import base64
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from agent.base.model import Event, FrameResult, ShiftTolerance
from agent.detection.active_scene import ActiveScene, FixedScene
from agent.detection.ground_marks import GroundMarks
from agent.detection.ground_watch import (
    CHECK_INTERVAL_NS,
    CONFIRMING_CHECKS,
    SAMPLES,
    marks_digest,
)
from agent.detection.scene import PrivacyMask, Scene, SceneLine, Zone
from agent.faults.registry import FaultRegistry
from agent.pipeline.camera_ground import MAX_REFERENCES, CameraGround
from agent.reporting.declaration.data import RuleCounts
from drivers.masking import MASK_LUMA
from drivers.media import NS_PER_S, Plane, Point, Polygon
from tests.pure.moving_view import street, turned
from tests.pure.rules.street_ground import STREET_MARKS, point_at

LINE = SceneLine(name="near", start=point_at(-5, 18), to=point_at(5, 18), labels=("car",))
FAR = Zone(
    name="far", polygon=tuple(point_at(x, y) for x, y in ((0, 30), (4, 30), (4, 70), (0, 70)))
)
SCENE = Scene(line=(LINE,), zone=(FAR,), ground=STREET_MARKS)
OTHER_MARKS = msgspec.structs.replace(STREET_MARKS, point=STREET_MARKS.point[:6])
SIZE_PX = (1280, 720)
THREE_CHECKS = CONFIRMING_CHECKS + 1
"""One for the reference."""


class Camera:
    """The ground of one fixed camera on a box whose agent is started again and again."""

    def __init__(self, folder: Path, scene: Scene = SCENE) -> None:
        self.folder = folder
        self.faults = FaultRegistry(lambda: 0)
        self.changes = 0
        self.now_ns = 0
        self.ground = self.open({"": scene})
        self.ground.begin_scene(FixedScene(scene).current())

    def open(self, scenes: dict[str, Scene], *, on_head: bool = False) -> CameraGround:
        return CameraGround(
            "north",
            self.folder,
            self.faults,
            scenes,
            on_head=on_head,
            frame_size_px=None,
            on_change=self._count,
        )

    def _count(self) -> None:
        self.changes += 1

    def see(
        self,
        checks: int = THREE_CHECKS,
        *,
        turn: float = 0.0,
        ground: CameraGround | None = None,
        size_px: tuple[int, int] = SIZE_PX,
    ) -> None:
        for _ in range(checks):
            for second in range(SAMPLES):
                result = FrameResult(
                    seq=0,
                    t_ns=self.now_ns + second * NS_PER_S,
                    width_px=size_px[0],
                    height_px=size_px[1],
                    gate_luma=turned(street(3 * second + 1), turn),
                    moving_ratio=0.0,
                    tracks=(),
                    inference_count=0,
                )
                (ground or self.ground).on_result(result)
            self.now_ns += CHECK_INTERVAL_NS

    def details(self) -> list[str]:
        assert all((f.code, f.subject) == ("CAM-06", "north") for f in self.faults.active())
        return [fault.detail for fault in self.faults.active()]


@pytest.mark.raises_fault("CAM-06")
def test_a_moved_view_is_a_fault_until_it_is_back(tmp_path: Path) -> None:
    camera = Camera(tmp_path)
    camera.see()
    assert (camera.details(), camera.ground.is_stale()) == ([], False)
    camera.see(CONFIRMING_CHECKS, turn=0.03)
    (detail,) = camera.details()
    assert detail.startswith("the view has moved by +3.")
    assert camera.ground.is_stale()
    health = camera.ground.health()
    assert health is not None
    assert health.moved == detail
    camera.see(CONFIRMING_CHECKS)
    assert (camera.details(), camera.ground.is_stale()) == ([], False)


@pytest.mark.raises_fault("CAM-06")
def test_a_restart_forgets_neither_the_view_nor_that_it_has_moved(tmp_path: Path) -> None:
    camera = Camera(tmp_path)
    camera.see()
    moved_while_off = Camera(tmp_path)
    moved_while_off.see(CONFIRMING_CHECKS, turn=0.03)
    assert moved_while_off.ground.is_stale()
    again = Camera(tmp_path)
    assert again.ground.is_stale()
    assert again.details() == moved_while_off.details()


def test_a_new_mask_of_its_fisheye_camera_deletes_the_picture_that_a_view_has_kept(
    tmp_path: Path,
) -> None:
    camera = Camera(tmp_path)
    camera.see()
    (before,) = tmp_path.glob("*.json")
    mask = (Point(0, 0), Point(1, 0), Point(1, 1))
    camera.ground.replace_scenes({"": SCENE}, (mask,))
    assert not before.exists()
    camera.see()
    (masked,) = tmp_path.glob("*.json")
    assert masked.name != before.name
    camera.ground.replace_scenes({"": SCENE}, (mask,))
    assert masked.exists()


@pytest.mark.raises_fault("CAM-06")
def test_a_camera_that_reports_its_own_move_is_stale_at_once(tmp_path: Path) -> None:
    camera = Camera(tmp_path)
    camera.see(1)
    for kind, phase, stale in (
        ("view_dark", "begin", False),
        ("view_moved", "end", False),
        ("view_moved", "begin", True),
    ):
        event = Event(event="e", rev=1, kind=kind, phase=phase, camera="north", t_ns=0, begin_ns=0)  # type: ignore[arg-type]
        camera.ground.on_event(event)
        assert camera.ground.is_stale() == stale
    assert camera.details() == ["the camera was moved"]


@pytest.mark.raises_fault("CAM-06")
def test_new_marks_are_calibrated_on_the_new_view_and_rolled_back_ones_are_stale_again(
    tmp_path: Path,
) -> None:
    camera = Camera(tmp_path)
    camera.see()
    camera.see(CONFIRMING_CHECKS, turn=0.03)
    redrawn = msgspec.structs.replace(SCENE, ground=OTHER_MARKS)
    camera.ground.replace_scenes({"": redrawn})
    assert camera.details() == []
    camera.see(turn=0.03)
    assert not camera.ground.is_stale()
    # The trial of the new scene fails.
    camera.ground.replace_scenes({"": SCENE})
    assert camera.ground.is_stale()
    assert len(camera.details()) == 1
    # A line that is drawn on a calibrated scene changes no calibration.
    camera.ground.replace_scenes({"": msgspec.structs.replace(SCENE, line=())})
    assert camera.ground.is_stale()


@pytest.mark.raises_fault("CAM-06")
def test_of_a_camera_on_a_head_each_preset_has_its_own_view(tmp_path: Path) -> None:
    camera = Camera(tmp_path)
    road = msgspec.structs.replace(SCENE, ground=OTHER_MARKS)
    scenes = {"gate": SCENE, "road": road, "yard": Scene()}
    ground = camera.open(scenes, on_head=True)
    active = ActiveScene(scenes, lambda: 0)

    def stay(preset: str | None, turn: float) -> None:
        active.update_position(preset, settled=preset is not None, tolerance=None)
        ground.begin_scene(active.current())
        camera.see(THREE_CHECKS, turn=turn, ground=ground)

    stay("gate", 0.0)
    stay("road", 0.2)
    stay("gate", 0.0)
    assert camera.details() == []
    stay("road", 0.25)
    (detail,) = camera.details()
    assert detail.startswith("preset road: the view has moved")
    assert ground.is_stale()
    for preset in ("gate", "yard", None):
        stay(preset, 0.0)
        assert (ground.is_stale(), camera.details()) == (False, [detail])
        assert (ground.health() is not None) == (preset == "gate")


def test_the_lines_and_zones_with_enough_pixels_are_counted_once_there_is_a_picture(
    tmp_path: Path,
) -> None:
    camera = Camera(tmp_path)
    assert camera.ground.rule_counts() == RuleCounts(total=2, trusted=None)
    camera.see(1, size_px=(320, 180))
    assert camera.ground.rule_counts() == RuleCounts(total=2, trusted=1)
    health = camera.ground.health()
    assert health is not None
    assert health.error_m == 0.0
    (far,) = health.low_density
    assert (far.kind, far.name, far.needed_px_per_m["car"], far.needed_px_per_m["person"]) == (
        "zone",
        "far",
        7,
        10,
    )
    assert camera.changes == 1
    camera.see(1, size_px=(5120, 2880))
    assert camera.ground.rule_counts() == RuleCounts(total=2, trusted=2)
    assert camera.changes == 2
    camera.see(CONFIRMING_CHECKS, turn=0.04, size_px=(5120, 2880))
    assert camera.ground.rule_counts() == RuleCounts(total=2, trusted=0)


def test_a_scene_without_marks_is_neither_watched_nor_trusted(tmp_path: Path) -> None:
    camera = Camera(tmp_path, Scene(line=(LINE,)))
    camera.see()
    camera.see(turn=0.1)
    assert (camera.details(), camera.ground.health(), camera.changes) == ([], None, 0)
    assert camera.ground.rule_counts() == RuleCounts(total=1, trusted=None)
    assert list(tmp_path.iterdir()) == []


MASKED_CORNERS = (Point(0, 0), Point(0.5, 0), Point(0.5, 0.5), Point(0, 0.5))


def masked(scene: Scene, corners: Polygon = MASKED_CORNERS) -> Scene:
    return msgspec.structs.replace(scene, mask=(PrivacyMask(polygon=corners),))


def kept_picture(file: Path) -> Plane:
    state = msgspec.json.decode(file.read_bytes())["state"]
    picture = np.frombuffer(base64.b64decode(state["picture"]), np.uint8)
    return np.asarray(cv2.imdecode(picture, cv2.IMREAD_GRAYSCALE), np.uint8)


def reference_file(folder: Path, marks: GroundMarks) -> Path:
    return folder / f"{marks_digest(marks)}.json"


def test_a_mask_that_is_drawn_later_hides_its_area_in_the_kept_picture_too(tmp_path: Path) -> None:
    camera = Camera(tmp_path)
    camera.see(1)
    (file,) = tmp_path.iterdir()
    assert kept_picture(file).shape == (180, 320)
    assert kept_picture(file)[:90, :160].std() > 5
    with_mask = masked(SCENE)
    camera.ground.replace_scenes({"": with_mask})
    assert (kept_picture(file)[:90, :160] == MASK_LUMA).all()
    assert kept_picture(file)[91:].std() > 5
    before = file.stat().st_mtime_ns
    again = Camera(tmp_path, with_mask)
    assert file.stat().st_mtime_ns == before
    again.see(CONFIRMING_CHECKS, turn=0.03)
    assert again.ground.is_stale()


def test_a_mask_hides_its_area_in_the_kept_pictures_of_earlier_marks_too(tmp_path: Path) -> None:
    camera = Camera(tmp_path)
    camera.see(1)
    earlier = reference_file(tmp_path, STREET_MARKS)
    damaged = tmp_path / f"{'0' * 64}.json"
    damaged.write_bytes(earlier.read_bytes()[:-40])
    recalibrated = masked(msgspec.structs.replace(SCENE, ground=OTHER_MARKS))
    camera.ground.replace_scenes({"": recalibrated})
    assert (kept_picture(earlier)[:90, :160] == MASK_LUMA).all()
    assert kept_picture(earlier)[91:].std() > 5
    # It cannot be painted.
    assert not damaged.exists()
    # A base configuration that is changed while the agent does not run.
    Camera(tmp_path, masked(recalibrated, tuple(Point(p.x, p.y + 0.5) for p in MASKED_CORNERS)))
    assert (kept_picture(earlier)[:, :160] == MASK_LUMA).all()


def test_on_a_head_a_mask_hides_its_area_at_its_preset_before_the_head_is_there(
    tmp_path: Path,
) -> None:
    camera = Camera(tmp_path)
    road = msgspec.structs.replace(SCENE, ground=OTHER_MARKS)
    scenes = {"gate": SCENE, "road": road}
    ground = camera.open(scenes, on_head=True)
    active = ActiveScene(scenes, lambda: 0)
    for preset in scenes:
        active.update_position(preset, settled=True, tolerance=None)
        ground.begin_scene(active.current())
        camera.see(1, ground=ground)
    gate_file, road_file = (reference_file(tmp_path, m) for m in (STREET_MARKS, OTHER_MARKS))
    road_before = kept_picture(road_file)

    scenes = {"gate": masked(SCENE), "road": road}
    ground.replace_scenes(scenes)
    # No head returns to the pixel: 2 % of the width more is masked to each side.
    assert (kept_picture(gate_file)[:96, :166] == MASK_LUMA).all()
    assert kept_picture(gate_file)[:, 170:].std() > 5
    assert np.array_equal(kept_picture(road_file), road_before)

    # The picture of another calibration of the preset too, and that of a preset without a scene is deleted.
    wider = tuple(Point(p.x, 2 * p.y) for p in MASKED_CORNERS)
    ground.replace_scenes({"gate": masked(road, wider)})
    assert (kept_picture(gate_file)[:, :166] == MASK_LUMA).all()
    ground.replace_scenes({"yard": masked(Scene())})
    assert list(tmp_path.iterdir()) == []


def test_on_a_head_that_repeats_badly_the_kept_picture_is_masked_as_its_pictures_are(
    tmp_path: Path,
) -> None:
    camera = Camera(tmp_path)
    ground = camera.open({"gate": SCENE}, on_head=True)
    active = ActiveScene({"gate": SCENE}, lambda: 0)
    active.update_position("gate", settled=True, tolerance=ShiftTolerance(x=0.1, y=0.1))
    ground.begin_scene(active.current())
    camera.see(1, ground=ground)
    scenes = {"gate": masked(SCENE)}
    ground.replace_scenes(scenes)
    active.replace_scenes(scenes)
    ground.begin_scene(active.current())
    (file,) = tmp_path.iterdir()
    assert (kept_picture(file)[:108, :192] == MASK_LUMA).all()
    assert kept_picture(file)[:, 194:].std() > 5


def test_old_references_are_deleted_and_a_full_disk_stops_nothing(tmp_path: Path) -> None:
    for number in range(MAX_REFERENCES + 5):
        (tmp_path / f"{number}.json").write_text("{}")
    camera = Camera(tmp_path)
    camera.see(1)
    assert len(list(tmp_path.glob("*.json"))) == MAX_REFERENCES
    blocked = tmp_path / "blocked"
    blocked.write_text("a file in the folder's place")
    camera = Camera(blocked)
    camera.see(1)
    assert not camera.ground.is_stale()
