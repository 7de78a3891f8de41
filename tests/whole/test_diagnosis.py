"""docs/diagnosis.md: each cause of its table is made to happen, and each part of the box says its row.

agent.health.camera_condition decides, agent.faults.diagnosis has the words.
"""

import random
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from agent.base.damaged_file import set_aside
from agent.base.state_file import StateFile
from agent.config import configuration
from agent.console.agent_process import CGROUP_PROCESSES
from agent.console.checks import CHECKS
from agent.detection import model_card
from agent.detection.ground_watch import GroundReference, marks_digest
from agent.detection.scene import load_scene
from agent.diagnostics.selftest.runner import run_selftest
from agent.faults.registry import FAULTS
from agent.gpio.status_led import blink_counts
from agent.pipeline.camera_ground import GROUND_DIR
from drivers.errors import DriverError
from drivers.media import Plane
from tests.pure.rules.street_ground import street_ground_toml
from tests.whole.diagnosed_box import DiagnosedBox
from tests.whole.report.broker import Mosquitto

PAGE = Path(__file__).parents[2] / "docs" / "diagnosis.md"
SCENE_OF_YARD = """
[[camera]]
name = "yard"
driver = "fake"
[camera.detect]
scene = "yard.toml"
"""
HEAD = '[[head]]\nname = "mast"\ndriver = "fake"\noptions = { silent = true }\n'

Start = Callable[..., DiagnosedBox]
Change = Callable[[Plane], Plane]


class Row(msgspec.Struct, frozen=True):
    """One row of the page's table."""

    cause: str
    faults: list[str]
    checks: set[str]
    words: str


def rows() -> dict[str, Row]:
    """The rows by their cause."""
    table = PAGE.read_text(encoding="utf-8").partition("## The table")[2]
    found = re.findall(r"^\| ([^|`]+) \| ([^|]+) \| ([^|]+) \| `([^|]+)` \|$", table, re.MULTILINE)

    def items(cell: str) -> list[str]:
        return [] if cell == "none" else cell.split(", ")

    return {
        cause: Row(cause=cause, faults=items(faults), checks=set(items(checks)), words=words)
        for cause, faults, checks, words in found
    }


ROWS = rows()


@pytest.fixture
def tmp_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder without a word of the test's name: the console prints its path."""
    return tmp_path_factory.mktemp("box")


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts a box, and closes it."""
    boxes: list[DiagnosedBox] = []

    def start_box(**options: object) -> DiagnosedBox:
        boxes.append(DiagnosedBox(tmp_path, monkeypatch, **options))  # type: ignore[arg-type]
        return boxes[-1]

    yield start_box
    for box in boxes:
        box.close()


def confirm(box: DiagnosedBox, cause: str, *, of_camera: bool = True) -> None:
    """Compare what each part says with the row of the page."""
    row = ROWS[cause]
    failed, screen = box.check()
    assert box.faults() == row.faults
    assert failed == row.checks, screen
    assert row.words in screen
    assert box.led() == [blink_counts(fault.split()[0]) for fault in row.faults]
    for fault in row.faults:
        assert fault in box.type("status")
        assert fault.split()[0] in box.watch()
    if of_camera:
        assert row.words in box.type("status")
        assert row.words in box.watch()
    if "CAM-" not in str(row.faults):
        assert "Check the camera's cable" not in screen


def test_a_box_that_is_well_says_so(start: Start) -> None:
    box = start()
    box.pass_s(12)
    confirm(box, "all is well")


@pytest.mark.raises_fault("STO-05", "SYS-07")
def test_a_full_disk_sheds_detection_and_blames_no_camera(start: Start) -> None:
    box = start()
    box.pass_s(12)
    box.fill_disk(0.4)
    box.pass_s(15)
    confirm(box, "disk full of other files")


@pytest.mark.raises_fault("STO-05", "SYS-07")
def test_a_camera_that_a_full_disk_has_closed_is_not_blamed(start: Start) -> None:
    box = start(record=False)
    box.pass_s(12)
    box.fill_disk(0.4)
    box.pass_s(25)
    confirm(box, "disk full, camera not recorded")


@pytest.mark.raises_fault("STO-02")
def test_a_disk_that_cannot_be_written_is_named(start: Start) -> None:
    box = start()
    box.pass_s(2)
    shutil.rmtree(box.state_dir / "footage")
    (box.state_dir / "footage").write_text("in the way")
    box.pass_s(12)
    confirm(box, "disk that cannot be written", of_camera=False)


@pytest.mark.raises_fault("STO-08")
def test_a_damaged_state_file_is_named(start: Start) -> None:
    box = start()
    (box.state_dir / "stuck-cameras.json").write_bytes(b"{")
    set_aside(box.state_dir / "stuck-cameras.json", "by another program of the box")
    box.agent._head_publisher.flush()
    box.pass_s(12)
    confirm(box, "state file damaged", of_camera=False)


@pytest.mark.raises_fault("SYS-02", "SYS-07")
@pytest.mark.parametrize(("cause", "celsius"), [("heat", 84.0), ("great heat", 97.0)])
def test_heat_is_named_for_what_it_stops(start: Start, cause: str, celsius: float) -> None:
    box = start()
    box.machine.set_celsius(celsius)
    box.pass_s(25)
    confirm(box, cause)


@pytest.mark.raises_fault("SYS-03", "SYS-07")
def test_a_low_voltage_is_named(start: Start) -> None:
    box = start()
    box.machine.write_file("sys/devices/platform/soc/soc:firmware/get_throttled", "1")
    box.pass_s(25)
    confirm(box, "low voltage")


@pytest.mark.raises_fault("SYS-04", "SYS-07")
def test_a_shortage_of_memory_is_named(start: Start) -> None:
    box = start()
    box.machine.set_memory(200_000)
    box.pass_s(25)
    confirm(box, "short of memory")


@pytest.mark.raises_fault("CAM-01")
def test_an_unplugged_camera_is_to_blame(start: Start) -> None:
    box = start()
    box.pass_s(2)
    box.camera_error = DriverError("absent", "camera 'north': no such device")
    box.pass_s(12)
    confirm(box, "camera unplugged")


@pytest.mark.raises_fault("CAM-02")
def test_a_silent_camera_is_to_blame(start: Start) -> None:
    box = start()
    box.pass_s(2)
    box.is_silent = True
    box.pass_s(12)
    confirm(box, "camera silent")


@pytest.mark.raises_fault("CAM-01", "CAM-02")
def test_the_fault_of_a_camera_follows_its_cause(start: Start) -> None:
    """It is silent, then it is unplugged, then it is plugged in and silent again."""
    box = start()
    box.pass_s(2)
    box.is_silent = True
    box.pass_s(12)
    confirm(box, "camera silent")
    box.camera_error = DriverError("absent", "camera 'north': no such device")
    box.pass_s(25)
    confirm(box, "camera unplugged")
    box.camera_error = None
    box.pass_s(60)
    confirm(box, "camera silent")


@pytest.mark.raises_fault("CAM-03")
def test_a_camera_held_by_the_kernel_has_one_fault(start: Start) -> None:
    box = start()
    box.pass_s(2)
    box.camera_error = DriverError("stuck", "camera 'north': is stuck")
    box.pass_s(15)
    confirm(box, "camera held by the kernel")


@pytest.mark.raises_fault("CAM-05")
def test_a_camera_that_breaks_its_reader_has_one_fault(start: Start) -> None:
    box = start()
    box.pass_s(2)
    box.camera_error = DriverError("crashed", "camera 'north': its process has ended")
    box.pass_s(15)
    confirm(box, "camera that breaks its reader")


@pytest.mark.raises_fault("CAM-04")
def test_a_slow_camera_is_told_by_its_rates(start: Start) -> None:
    box = start(record=False)
    box.fps = 3
    box.pass_s(75)
    confirm(box, "camera slow")


@pytest.mark.raises_fault("CAM-06")
def test_a_camera_whose_view_has_moved_works_and_its_ground_is_stale(
    start: Start, tmp_path: Path
) -> None:
    """An earlier run of the agent has found that."""
    (tmp_path / "north.toml").write_text(street_ground_toml())
    marks = load_scene(tmp_path / "north.toml").ground
    assert marks is not None
    digest = marks_digest(marks)
    picture = bytes(cv2.imencode(".png", np.zeros((120, 160), np.uint8))[1].tobytes())
    moved = GroundReference(marks=digest, picture=picture, moved="the camera was moved")
    path = tmp_path / "state" / GROUND_DIR / "north" / f"{digest}.json"
    StateFile(path, GroundReference, label=f"north/{digest}").write(moved)
    box = start(more='[camera.detect]\nscene = "north.toml"\n')
    box.pass_s(12)
    confirm(box, "view moved since its ground was calibrated")


@pytest.mark.raises_fault("CAM-09")
def test_a_line_on_which_road_users_are_too_small_is_named(start: Start, tmp_path: Path) -> None:
    line = '[[line]]\nname = "far"\nfrom = [0.4, 0.25]\nto = [0.6, 0.25]\n'
    (tmp_path / "north.toml").write_text(line + street_ground_toml())
    box = start(more='[camera.detect]\nscene = "north.toml"\n')
    box.pass_s(12)
    confirm(box, "line far from the camera")


def sunlit(luma: Plane) -> Plane:
    white = np.array(luma)
    white[: len(white) // 2] = 235
    return white


def unlit(luma: Plane) -> Plane:
    """A night without lamps, but for a window."""
    night = np.asarray(16 + (luma - 16.0) * 0.1, np.uint8)
    night[20:40, 30:50] = 120
    return night


VIEWS: dict[str, Change] = {
    "lens covered by a cap": lambda luma: np.full_like(luma, 16),
    "view covered by a bag": lambda luma: np.full_like(luma, 90),
    "picture blurred": lambda luma: np.asarray(cv2.GaussianBlur(luma, (0, 0), 3), np.uint8),
    "camera upside down": lambda luma: np.ascontiguousarray(luma[::-1, ::-1]),
    "picture frozen": lambda luma: luma,
    "low sun in the picture": sunlit,
    "night without lamps": unlit,
}


def show_view(box: DiagnosedBox, cause: str, begins_s: int, ends_s: int) -> None:
    """Show a good view, a bad one, and the good one again."""
    box.pass_s(20)
    box.change_picture = VIEWS[cause]
    box.has_sensor_noise = cause != "picture frozen"
    box.pass_s(begins_s)
    confirm(box, cause)
    box.change_picture, box.has_sensor_noise = (lambda luma: luma), True
    box.pass_s(ends_s)
    confirm(box, "all is well")


@pytest.mark.raises_fault("CAM-07")
@pytest.mark.parametrize(
    "cause",
    [
        "lens covered by a cap",
        "view covered by a bag",
        "picture blurred",
        "camera upside down",
        "picture frozen",
    ],
)
def test_a_view_that_shows_no_road_users_is_named_until_it_is_good_again(
    start: Start, cause: str
) -> None:
    show_view(start(), cause, begins_s=25, ends_s=8)


@pytest.mark.raises_fault("CAM-07")
def test_a_view_that_a_technician_has_found_good_is_the_view_from_then_on(start: Start) -> None:
    box = start()
    box.pass_s(20)
    box.change_picture = VIEWS["camera upside down"]
    box.pass_s(25)
    assert box.faults() == ["CAM-07 north"]
    (box.state_dir / "commissioned" / "20261103T074105.250000Z").mkdir(parents=True)
    box.pass_s(25)
    confirm(box, "all is well")


@pytest.mark.raises_fault("CAM-08")
@pytest.mark.parametrize("cause", ["low sun in the picture", "night without lamps"])
def test_light_that_hides_road_users_is_named_as_long_as_it_lasts(start: Start, cause: str) -> None:
    show_view(start(), cause, begins_s=65, ends_s=65)


@pytest.mark.raises_fault("CAM-07", "CAM-02")
def test_a_silent_camera_is_not_blamed_for_the_view_that_it_had(start: Start) -> None:
    box = start()
    box.change_picture = lambda luma: np.full_like(luma, 16)
    box.pass_s(25)
    assert box.faults() == ["CAM-07 north"]
    box.is_silent = True
    box.pass_s(12)
    confirm(box, "camera silent")


@pytest.mark.raises_fault("DET-01")
def test_a_missing_model_is_no_fault_of_the_camera(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "models"
    shutil.copytree(model_card.MODELS_FOLDER, installed)
    for model in installed.glob("*.tflite"):
        model.unlink()
    monkeypatch.setattr(model_card, "MODELS_FOLDER", installed)
    box = start()
    box.pass_s(12)
    confirm(box, "model missing")


@pytest.mark.raises_fault("DET-02")
def test_a_missing_accelerator_is_named_while_its_fallback_detects(start: Start) -> None:
    accelerator = f'model = "hailo_yolox_s"\nfile = "street.hef"\nsha256 = "{"0" * 64}"\n'
    box = start(more=f"[camera.detect.accelerator]\n{accelerator}")
    box.pass_s(12)
    confirm(box, "accelerator missing")


@pytest.mark.raises_fault("CAM-10")
def test_a_missing_hardware_decoder_is_named_while_the_processor_decodes(start: Start) -> None:
    box = start()
    line = "camera 'north': device '/dev/video10': no such device"
    box.decoder_failure = DriverError("unsupported", line)
    box.pass_s(12)
    confirm(box, "hardware decoder missing")


@pytest.mark.raises_fault("MSK-01")
def test_a_camera_that_stays_closed_for_its_masks_is_not_blamed(
    start: Start, tmp_path: Path
) -> None:
    (tmp_path / "yard.toml").write_text("[[mask]]\npolygon = 1\n")
    box = start(more=SCENE_OF_YARD)
    box.pass_s(15)
    confirm(box, "masks of a camera damaged")


@pytest.mark.raises_fault("PTZ-03")
def test_a_silent_head_is_named(start: Start) -> None:
    box = start(more=HEAD)
    box.pass_s(5)
    confirm(box, "head silent", of_camera=False)


@pytest.mark.raises_fault("NET-01")
def test_a_broker_that_is_down_is_named(start: Start) -> None:
    box = start(url="mqtt://127.0.0.1:1")
    box.turn("mqtt")
    box.pass_s(3)
    confirm(box, "broker down", of_camera=False)


@pytest.mark.raises_fault("NET-02")
def test_a_broker_that_refuses_is_not_called_down(start: Start, tmp_path: Path) -> None:
    (tmp_path / "mosquitto").mkdir()
    broker = Mosquitto(tmp_path / "mosquitto", "allow_anonymous false\n")
    try:
        box = start(url=broker.url)
        for _ in range(20):
            box.turn("mqtt")
            if box.agent.faults.active():
                break
        box.pass_s(3)
        confirm(box, "broker refuses", of_camera=False)
    finally:
        broker.stop(signal.SIGKILL)


@pytest.mark.raises_fault("SYS-01")
def test_a_clock_is_no_fault_until_the_agent_has_waited_for_it(start: Start) -> None:
    box = start()
    box.clock.synced = False
    box.pass_s(3)
    confirm(box, "clock not set yet", of_camera=False)
    box.pass_s(2, jump_s=300)
    confirm(box, "clock not set", of_camera=False)


def test_a_short_spike_of_the_load_is_no_fault(start: Start) -> None:
    box = start()
    box.machine.write_file("proc/loadavg", "12.00 0.30 0.20 1/300 1234")
    box.pass_s(3)
    confirm(box, "short spike of the load", of_camera=False)


def test_an_agent_that_was_stopped_is_not_called_dead(start: Start) -> None:
    box = start()
    box.pass_s(2)
    box.stop_agent()
    confirm(box, "agent stopped", of_camera=False)
    assert "STOPPED in order" in box.type("status")
    (box.machine.root / CGROUP_PROCESSES).parent.mkdir(parents=True)
    (box.machine.root / CGROUP_PROCESSES).write_text("812\n")
    confirm(box, "agent restarts", of_camera=False)


def test_a_dead_agent_is_named(start: Start) -> None:
    box = start()
    box.pass_s(2)
    box.clock.advance_s(90)
    confirm(box, "agent dead", of_camera=False)


def test_an_agent_that_hangs_is_named_and_its_cameras_are_not_blamed(start: Start) -> None:
    box = start()
    box.pass_s(2)
    box.turn("control socket")
    box.clock.advance_s(90)
    confirm(box, "agent hangs", of_camera=False)


@pytest.mark.raises_fault("STO-05", "SYS-07")
def test_a_failed_self_test_names_what_the_box_sheds(start: Start) -> None:
    box = start()
    box.fill_disk(0.4)
    box.pass_s(15)
    config = configuration.load(box.config_path)
    steps = run_selftest(config, box.clock, random.Random(1)).steps
    assert steps[0].message.startswith("free on the disk: 80 MB; allowed: 100 MB or more; SYS-07: ")
    assert "record only, disk: full" in steps[0].message


def test_each_row_of_the_page_has_its_test() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert [cause for cause in ROWS if f'"{cause}"' not in text] == []
    assert len(ROWS) > 20


def test_each_fault_code_belongs_to_one_check() -> None:
    codes = [code for check in CHECKS for code in check.codes]
    assert sorted(codes) == sorted(FAULTS)
