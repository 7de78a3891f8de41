"""agent.rehearsal: another configuration on recorded footage, in a confined child, next to the one in force."""

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent.base.clock import rfc3339
from agent.config.configuration import CameraConfig, InstitutionConfig
from agent.recording import owner_policy
from agent.rehearsal.rehearsal_stage import (
    RehearsalRequest,
    RehearsalSettings,
    RehearsalStage,
    RehearsedDetection,
)
from agent.rehearsal.rehearsal_task import DetectionSide
from agent.reporting.rehearsal import RehearsedCamera, ReportedRehearsal
from drivers.child.process import cpu_time_s
from drivers.media import Point
from tests.vectors.street import StreetBox
from tests.whole.rig import CLOCK

BOX = "casa-0001"
LIMIT_S = 900
"""For a rehearsal: it has the time that a busy machine leaves."""
SECONDS = 8
LINE = '[[line]]\nname = "street"\nfrom = [0.0, 0.6]\nto = [1.0, 0.6]\n'
OTHER_LINE = '[[line]]\nname = "far"\nfrom = [0.0, 0.35]\nto = [1.0, 0.35]\n'
BLIND = LINE + "[[ignore]]\npolygon = [[0, 0], [1, 0], [1, 1], [0, 1]]\n"
WHOLE = (Point(0, 0), Point(1, 0), Point(1, 1), Point(0, 1))


def run_until(stage: RehearsalStage, is_over: Callable[[], object]) -> None:
    """Turn the stage until the condition holds."""
    never, deadline_ns = threading.Event(), CLOCK.boottime_ns() + LIMIT_S * 10**9
    while not is_over():
        assert CLOCK.boottime_ns() < deadline_ns, "it did not happen in time"
        stage.run_once(never)


class RecordedBox:
    """A box with footage, and its stage, which a test turns by hand."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.street = StreetBox(state, BOX)
        self.receipts: list[str] = []
        self.receipt_error: OSError | None = None
        settings = RehearsalSettings(state_dir=state, box=BOX, time_zone="Africa/Casablanca")
        self.stage = RehearsalStage(settings, CLOCK, self._record, lambda: None)

    def submit(
        self, scene: str, model: str = "nanodet_320", fps: float = 10.0, begin_s: float = 0.0
    ) -> None:
        (self.state / "present.toml").write_text(LINE)
        (self.state / "proposed.toml").write_text(scene)
        sides = {
            name: DetectionSide(model=one, scene=str(self.state / f"{name}.toml"), fps=rate)
            for name, one, rate in (("present", "nanodet_320", 10.0), ("proposed", model, fps))
        }
        request = RehearsalRequest(
            version=9,
            digest="0" * 64,
            by="amina (supervisor)",
            viewer="amina",
            begin=rfc3339(self.street.utc_at(begin_s)),
            end=rfc3339(self.street.utc_at(begin_s + SECONDS)),
            cameras=(RehearsedDetection(camera="north", **sides),),
        )
        self.stage.submit(request)

    def reported(self) -> ReportedRehearsal:
        reported = self.stage.reported()
        assert reported is not None
        return reported

    def has_ended(self) -> bool:
        reported = self.stage.reported()
        return reported is not None and reported.state in ("done", "failed")

    def rehearse(self, scene: str, **how: object) -> RehearsedCamera:
        """The report of the one camera."""
        self.submit(scene, **how)  # type: ignore[arg-type]
        run_until(self.stage, self.has_ended)
        (camera,) = self.reported().cameras
        return camera

    def _record(self, request: RehearsalRequest, camera: str) -> None:
        if self.receipt_error is not None:
            raise self.receipt_error
        self.receipts.append(f"{request.by}: {camera}")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Footage of a street in plain segments of four seconds."""
    state = tmp_path_factory.mktemp("recorded") / "state"
    StreetBox(state, BOX).record("north", 5, SECONDS)
    return state


@pytest.fixture
def box(recorded: Path, tmp_path: Path) -> Iterator[RecordedBox]:
    shutil.copytree(recorded, tmp_path / "state")
    made = RecordedBox(tmp_path / "state")
    yield made
    made.stage.close()


def test_a_further_line_counts_and_changes_nothing_at_the_line_that_both_have(
    box: RecordedBox,
) -> None:
    camera = box.rehearse(LINE + OTHER_LINE)
    assert (camera.reason, camera.left_out) == (None, {})
    assert camera.same > 0
    assert (camera.different, camera.differences) == (0, ())
    street, far = camera.lines
    assert street.present == street.proposed
    assert sum(sum(labels.values()) for labels in (street.present or {}).values()) == camera.same
    assert far.present is None
    assert any((far.proposed or {}).values())
    assert camera.covered_s == pytest.approx(SECONDS, abs=0.2)
    assert camera.present is not None
    assert camera.proposed is not None
    assert camera.present.pictures == camera.proposed.pictures
    assert camera.present.pictures == pytest.approx(10 * SECONDS, abs=2)
    assert camera.present.cpu_s > 0
    assert box.reported().state == "done"
    assert box.receipts == ["amina (supervisor): north"]


def test_a_blind_scene_at_a_lower_rate_misses_each_crossing_at_the_time_of_its_picture(
    box: RecordedBox,
) -> None:
    camera = box.rehearse(BLIND, fps=5.0)
    assert camera.same == 0
    assert camera.different == len(camera.differences) > 0
    begin, end = rfc3339(box.street.utc_at(0)), rfc3339(box.street.utc_at(SECONDS))
    for one in camera.differences:
        assert (one.kind, one.name, one.found_by) == ("crossing", "street", "present")
        assert begin <= one.time <= end
    assert camera.proposed is not None
    assert camera.proposed.pictures == pytest.approx(5 * SECONDS, abs=2)


def test_masks_of_the_recording_hide_road_users_from_both(tmp_path: Path) -> None:
    box = RecordedBox(tmp_path / "state")
    box.street.masks = (WHOLE,)
    box.street.record("north", 5, 6)
    camera = box.rehearse(LINE + OTHER_LINE)
    assert camera.reason is None
    assert (camera.same, camera.different) == (0, 0)
    assert camera.present is not None
    assert camera.present.pictures > 0


def test_sealed_footage_is_not_rehearsed(tmp_path: Path) -> None:
    box = RecordedBox(tmp_path / "state")
    box.street = StreetBox(box.state, BOX, {"police": X25519PrivateKey.generate().public_key()})
    box.street.record("north", 5, 2)
    camera = box.rehearse(BLIND)
    assert "it is sealed, and its pictures stay so on this box" in (camera.reason or "")
    assert box.receipts == []


def no_footage(box: RecordedBox) -> None:
    shutil.rmtree(box.state / "footage" / "north")


def lent_camera(box: RecordedBox) -> None:
    owner = InstitutionConfig(owner="Casa Tramway", purpose="safety", viewers=("Samira Alaoui",))
    camera = CameraConfig(name="north", driver="fake", institution=owner)
    owner_policy.update(box.state, box.state / "footage", [camera])


def full_disk(box: RecordedBox) -> None:
    box.receipt_error = OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("prepare", "model", "reason"),
    [
        (no_footage, "nanodet_320", "north"),
        (lent_camera, "nanodet_320", "amina"),
        (full_disk, "nanodet_320", "no rehearsal without its receipt: [Errno 28]"),
        (lambda _box: None, "/none/own.toml", "model"),
    ],
)
def test_a_camera_without_a_rehearsal_has_the_reason_in_its_report(
    box: RecordedBox, prepare: object, model: str, reason: str
) -> None:
    prepare(box)  # type: ignore[operator]
    camera = box.rehearse(BLIND, model=model)
    assert reason in (camera.reason or "")
    assert camera == RehearsedCamera(camera="north", reason=camera.reason)
    assert box.reported().state == "done"


def test_a_span_with_a_gap_is_rehearsed_without_it(box: RecordedBox) -> None:
    second = sorted((box.state / "footage" / "north").glob("*.mp4"))[1]
    second.unlink()
    camera = box.rehearse(LINE + OTHER_LINE)
    assert camera.reason is None
    assert camera.covered_s == pytest.approx(SECONDS - 4, abs=0.3)


def test_it_waits_as_long_as_the_box_does_less_than_all_its_work(box: RecordedBox) -> None:
    box.submit(BLIND)
    stage = box.stage
    run_until(stage, lambda: bool(box.receipts))
    stage.set_level("reduced_detection")
    run_until(stage, lambda: box.reported().state == "paused")
    progress = box.reported().progress
    for _ in range(2):
        stage.run_once(threading.Event())
    assert (box.reported().state, box.reported().progress) == ("paused", progress)
    assert box.reported().cameras == ()
    stage.set_level("full")
    run_until(stage, box.has_ended)
    (camera,) = box.reported().cameras
    assert camera.different > 0


def test_a_version_that_is_tried_ends_the_rehearsal_and_its_child(box: RecordedBox) -> None:
    box.submit(BLIND)
    run_until(box.stage, lambda: bool(box.receipts))
    assert box.stage._run is not None
    assert (child := box.stage._run.child) is not None
    assert (pid := child.pid) is not None
    box.stage.end()
    box.stage.run_once(threading.Event())
    assert (box.reported().state, box.reported().reason) == (
        "failed",
        "another version was decided",
    )
    assert cpu_time_s(pid) is None
