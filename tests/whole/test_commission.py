"""Commissioning of a box with a running agent, over its real sockets, and the later reports on it."""

import functools
import json
import os
import pty
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import cv2
import msgspec
import numpy as np
import pytest

from agent.__main__ import main
from agent.base.device_identity import DeviceIdentity
from agent.base.errors import UserError
from agent.base.health_model import (
    CameraHealth,
    Degradation,
    GroundHealth,
    HealthReport,
    OutboxHealth,
    Vitals,
)
from agent.base.message import Text
from agent.base.signed_manifest import BadManifest
from agent.capture.live_keyframes import LiveKeyframes
from agent.capture.live_looks import LiveLooks
from agent.capture.preview import PreviewHandler, PreviewRequest
from agent.capture.snapshot_command import CameraAccess
from agent.detection.image import encode_snapshot
from agent.diagnostics.commissioning import certificate
from agent.diagnostics.commissioning.certificate import ItemAnswer
from agent.diagnostics.commissioning.session import (
    PREVIEW_HEIGHT_PX,
    PREVIEW_WIDTH_PX,
    CommissioningSession,
)
from agent.diagnostics.selftest import street_pattern
from agent.health import health_file
from agent.recording.custody.receipts import FootageViewed, ServiceAction, parse_line
from agent.runtime.stage import StageThread
from drivers.media import Frame, Plane
from tests.whole.command_box import CommandBox
from tests.whole.report.conftest import CLOCK
from tests.whole.report.reporting_box import wait_until

WAIT_S = 60.0
CONFIG = """
[box]
id = "pole-17"
site = "A street"
state = "."
[broker]
url = "mqtt://127.0.0.1:1"
[[camera]]
name = "north"
driver = "fake"
options = {}
detect = { scene = "north.scene.toml" }
[[camera]]
name = "tram"
driver = "fake"
options = {}
[camera.institution]
owner = "The tram"
purpose = "Traffic"
viewers = ["omar"]
[[head]]
name = "mast"
driver = "fake"
"""
SCENE = "[[mask]]\npolygon = [[0.0, 0.0], [0.1, 0.0], [0.1, 0.1]]\n"
SHED = Degradation(level="heartbeat", reason="heat: 97 °C", since_ns=0, cause="SYS-02")


@functools.cache
def pictures() -> list[Frame]:
    """Eight seconds of the street, as a camera gives them."""
    return [frame for frame in street_pattern.render_frames() if frame.seq >= 20]


def health(
    *,
    connected: bool,
    degradation: Degradation | None = None,
    ground: GroundHealth | None = None,
) -> HealthReport:
    tram = CameraHealth(
        name="tram",
        open=False,
        state="waiting" if degradation is None else "shed",
        stream_fps=0.0,
        detect_fps=0.0,
        age_s=None,
        reconnects=0,
        frames_replaced=0,
        packets_dropped=0,
        last_error=None,
    )
    return HealthReport(
        uptime_s=1,
        version="1",
        vitals=Vitals(
            soc_celsius=None,
            load_1min=None,
            memory_available_bytes=None,
            agent_rss_bytes=None,
            state_free_bytes=None,
            state_total_bytes=None,
            footage_free_bytes=None,
            footage_total_bytes=None,
        ),
        stages=(),
        cameras=(msgspec.structs.replace(tram, name="north", ground=ground), tram),
        detectors=(),
        footage=(),
        outbox=OutboxHealth(
            depth=0, bytes=0, oldest_age_s=None, lost=0, connected=connected, centre_listening=True
        ),
        faults=(),
        degradation=degradation,
    )


class Agent:
    """The doors of an agent that runs in a folder, with one camera that gives pictures."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "vigie.toml").write_text(CONFIG)
        (folder / "north.scene.toml").write_text(SCENE)
        DeviceIdentity.load_or_create(folder / "identity")
        self.lens: Callable[[Frame], Frame] = lambda frame: frame
        self.connected = True
        self.degradation: Degradation | None = None
        self.ground: GroundHealth | None = None
        self.box = CommandBox(folder, None)
        self.north = CameraAccess()
        cameras = {"north": self.north, "tram": CameraAccess()}
        looks = LiveLooks(lambda _look: None, lambda _look, _ended: None, CLOCK.boottime_ns)
        keyframes = LiveKeyframes(looks, cameras, CLOCK.boottime_ns)
        previews = PreviewHandler(cameras, keyframes, encode_snapshot, CLOCK.boottime_ns)
        worker = self.box.control.add_blocking_method("preview", PreviewRequest, previews.handle)
        self._thread = StageThread(worker, CLOCK.boottime_ns, random.Random(1), vital=False)
        self._stopping = threading.Event()
        self._camera = threading.Thread(target=self._give)

    def __enter__(self) -> Self:
        self.box.__enter__()
        self._thread.start()
        self._camera.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._stopping.set()
        self._camera.join(WAIT_S)
        self._thread.stop()
        assert self._thread.join(WAIT_S)
        self.box.__exit__(None, None, None)

    def _give(self) -> None:
        while not self._stopping.is_set():
            for frame in pictures():
                if self._stopping.wait(0.05):
                    return
                self.north.next_frame.offer(self.lens(frame))
                if frame.seq % 10 == 0:
                    report = health(
                        connected=self.connected, degradation=self.degradation, ground=self.ground
                    )
                    health_file.write(self.folder / "run", health_file.make_live(report, CLOCK))

    def run(self, *words: str) -> int:
        return main(["commission", "--config", str(self.folder / "vigie.toml"), *words])


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    folder = tmp_path / "box"
    folder.mkdir()
    with Agent(folder) as running:
        wait_until((folder / "run" / "health.json").exists)
        yield running


def luma(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Frame], Frame]:
    """A lens that does this to the picture."""

    def seen(frame: Frame) -> Frame:
        return Frame(
            seq=frame.seq,
            t_ns=frame.t_ns,
            y=np.ascontiguousarray(change(frame.y), np.uint8),
            u=frame.u,
            v=frame.v,
        )

    return seen


def test_a_commissioned_box_has_a_signed_record_and_no_drift(
    agent: Agent, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "certificate"
    assert agent.run("--by", "omar", "--yes", "--out", str(out)) == 1
    message = capsys.readouterr().out
    # The second camera gives no picture, and the output has a line on it.
    assert "NOT GOOD: aim of tram: no picture: camera 'tram'" in message
    record, pictures = certificate.read_verified(out)
    north, tram = record.cameras
    assert (record.box, record.technician) == ("pole-17", "omar")
    assert (north.width_px, north.height_px, north.masks) == (
        PREVIEW_WIDTH_PX,
        PREVIEW_HEIGHT_PX,
        1,
    )
    assert north.focus is not None
    assert tram.picture is None
    assert cv2.imdecode(np.frombuffer(pictures["north"], np.uint8), 0).shape == (
        PREVIEW_HEIGHT_PX,
        PREVIEW_WIDTH_PX,
    )
    assert record.heads[0].presets == {}
    assert main(["commission", "verify", str(out), "--public-key", record.public_key]) == 0
    assert f"{out}: good: " in capsys.readouterr().out
    assert main(["commission", "verify", str(out)]) == 0
    assert f"{out}: consistent, origin not verified: " in capsys.readouterr().out
    assert agent.run("--by", "omar", "--compare", "--json") == 0
    reported = json.loads(capsys.readouterr().out)
    assert {one["kind"] for one in reported["drifts"]} <= {"not compared"}


def test_a_camera_that_the_box_has_closed_is_not_blamed(
    agent: Agent, capsys: pytest.CaptureFixture[str]
) -> None:
    agent.degradation = SHED
    wait_until(lambda: _live(agent).degradation is not None)
    assert agent.run("--by", "omar", "--yes") == 1
    shed = "SYS-07: closed to shed load: heartbeat, heat: 97 °C (SYS-02)"
    assert f"NOT GOOD: aim of tram: no picture: {shed}" in capsys.readouterr().out


def test_later_changes_of_a_box_are_reported(
    agent: Agent, capsys: pytest.CaptureFixture[str]
) -> None:
    assert agent.run("--by", "omar", "--yes") == 1
    agent.lens = luma(lambda y: np.roll(y, 64, axis=1))
    agent.connected = False
    (agent.folder / "north.scene.toml").write_text(SCENE * 2)
    capsys.readouterr()
    wait_until(lambda: not _live(agent).outbox.connected)
    assert agent.run("--by", "omar", "--compare") == 1
    message = capsys.readouterr().out
    assert "moved north: the view has moved by +5.0% of its width" in message
    assert "masks north: 1 then, 2 now" in message
    assert "scene north: the scene was changed" in message
    assert "link: no connection to the broker" in message


def _live(agent: Agent) -> HealthReport:
    live = health_file.read(agent.folder / "run")
    assert live is not None
    return live.report


def test_a_lens_out_of_focus_is_reported(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    agent.run("--by", "omar", "--yes")
    agent.lens = luma(lambda y: cv2.GaussianBlur(y, (0, 0), 6.0))
    capsys.readouterr()
    assert agent.run("--by", "omar", "--compare") == 1
    assert "blurred north" in capsys.readouterr().out


def test_each_viewer_is_in_the_chain_and_a_lent_camera_is_shown_to_its_viewers_only(
    agent: Agent, capsys: pytest.CaptureFixture[str]
) -> None:
    agent.run("--by", "amina", "--yes")
    assert "it is lent by The tram, who does not name amina" in capsys.readouterr().out
    chain = (agent.folder / "custody" / "0000000001.chain").read_bytes().splitlines()
    bodies = [parse_line(line).receipt.body for line in chain]
    assert ServiceAction(by="amina", action="commissioned by amina") in bodies
    assert [body.camera for body in bodies if isinstance(body, FootageViewed)] == ["north"]


def test_a_technician_at_a_terminal_sees_the_picture_and_confirms_each_part(
    agent: Agent,
) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "agent", "commission", "--config", "vigie.toml", "--by", "omar"],
        cwd=agent.folder,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as command:
        os.close(theirs)
        screen = b""
        requested = 0
        while True:
            try:
                screen += os.read(ours, 4096)
            except OSError:
                break  # it has ended
            if screen.count(b"n and a reason: ") > requested:
                requested = screen.count(b"n and a reason: ")
                answers = {1: b"perhaps\n", 2: b"y\n", 3: b"n the lens is dirty\n"}
                os.write(ours, answers.get(requested, b"y\n"))
        os.close(ours)
        assert command.wait(WAIT_S) == 1
    text = screen.decode()
    assert "allowed: y, or n and a reason" in text
    assert "NOT GOOD: focus of north: the lens is dirty" in text
    assert sum(len(line.rstrip()) > 60 for line in text.splitlines()) > 10  # the picture
    record, _ = certificate.read_verified(certificate.find_newest(agent.folder))
    parts = [(one.item, one.subject, one.good) for one in record.answers]
    assert ("aim", "north", True) in parts
    # Without a picture there is nothing to confirm: a `y` to everything else is none to it.
    assert ("aim", "tram", False) in parts
    assert ("focus", "north", False) in parts
    assert ("clock", None, True) in parts


def test_the_end_of_the_terminals_input_reports_that_no_record_was_written(agent: Agent) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "agent", "commission", "--config", "vigie.toml", "--by", "omar"],
        cwd=agent.folder,
        stdin=theirs,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as command:
        os.close(theirs)
        try:
            os.write(ours, b"y\n\x04")
            _, message = command.communicate(timeout=WAIT_S)
        finally:
            command.kill()
            os.close(ours)
    assert command.returncode == 2
    assert message.decode() == (
        "vigie: commission: no answer to focus of north, so no record was written; "
        "allowed: y, or n and a reason, to each\n"
    )
    with pytest.raises(BadManifest, match="never commissioned"):
        certificate.find_newest(agent.folder)


def test_without_an_agent_a_terminal_or_a_record_one_line_explains_it(
    agent: Agent, tmp_path: Path
) -> None:
    site = CommissioningSession(agent.folder / "vigie.toml", CLOCK, "omar")
    with pytest.raises(UserError, match="never commissioned"):
        site.compare()
    with pytest.raises(UserError, match="--out"):
        site.commission(lambda answer, _finding, _picture: answer, tmp_path)
    assert agent.run("--by", "omar") == 2
    assert main(["commission"]) == 2
    assert main(["commission", "verify", str(tmp_path)]) == 1
    other = tmp_path / "other"
    other.mkdir()
    (other / "vigie.toml").write_text(CONFIG)
    (other / "north.scene.toml").write_text(SCENE)
    with pytest.raises(UserError, match="no agent has run here"):
        CommissioningSession(other / "vigie.toml", CLOCK, "omar")
    DeviceIdentity.load_or_create(other / "identity")
    with pytest.raises(UserError, match="the agent is not running"):
        CommissioningSession(other / "vigie.toml", CLOCK, "omar").commission(
            lambda answer, _finding, _picture: answer, None
        )


GROUND = """
[ground]
point = [
  { at = [0.31, 0.90], metres = [-3.0, 8.0] },
  { at = [0.69, 0.90], metres = [3.0, 8.0] },
  { at = [0.46, 0.60], metres = [-3.0, 38.0] },
  { at = [0.54, 0.60], metres = [3.0, 38.0] },
]
"""


def test_a_calibrated_ground_is_judged_by_its_marks_on_the_picture_and_is_not_good_once_it_moved(
    agent: Agent,
) -> None:
    (agent.folder / "north.scene.toml").write_text(SCENE + GROUND)
    shown: dict[tuple[str, str | None], Plane | None] = {}

    def ask(item: ItemAnswer, _finding: Text, picture: Plane | None) -> ItemAnswer:
        shown[item.item, item.subject] = picture
        return item

    agent.ground = GroundHealth(error_m=0.4, moved="the camera was moved", low_density=())
    wait_until(lambda: _reports_ground(agent))
    session = CommissioningSession(agent.folder / "vigie.toml", CLOCK, "omar")
    record = session.commission(ask, None).record
    (item,) = [item for item in record.answers if item.item == "ground"]
    assert (item.subject, item.good) == ("north", False)
    assert record.cameras[0].ground == agent.ground
    aim, marked = shown["aim", "north"], shown["ground", "north"]
    assert aim is not None
    assert marked is not None
    changed = aim != marked
    assert changed[243, 149]
    assert changed[162, 221]
    assert changed.mean() < 0.02


def _reports_ground(agent: Agent) -> bool:
    report = health_file.read(agent.folder / "run")
    return report is not None and report.report.cameras[0].ground == agent.ground
