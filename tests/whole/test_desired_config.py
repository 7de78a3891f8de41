"""The centre's configuration reaches a running box: over a real broker, a real agent, real footage."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import msgspec
import numpy as np
import pytest

from agent.base.state_inventory import INVENTORY_FILE
from agent.config.broker import BrokerConfig
from agent.health.restart_command import NO_SERVICE_MANAGER
from agent.recording import catalogue, mask_store
from agent.recording.custody.receipts import FileQuarantined, ReceiptBody, ServiceAction, parse_line
from agent.reporting import topics
from agent.reporting.mqtt.packets import ReceivedPublish, Suback
from agent.reporting.payloads import ConfigMessage, DeclarationMessage, ReportedConfig
from drivers.av_stream import frame_planes
from drivers.masking import MASK_LUMA
from drivers.media import Point
from tests.whole.drawn_clip import write_street_clip
from tests.whole.report.broker import Mosquitto
from tests.whole.report.reporting_box import BareClient, wait_until
from tests.whole.rig import TIMEOUT_S, AgentBox

BOX = "casa-0001"
FPS = 10
DRAWN = f'driver = "fake"\n[camera.options]\nwidth_px = 160\nheight_px = 90\nfps = {FPS}\n'
LEFT_HALF = (Point(0.0, 0.0), Point(0.5, 0.0), Point(0.5, 1.0), Point(0.0, 1.0))
MASK = "[[mask]]\npolygon = [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]\n"

LONG_TRIAL = """
import sys
from agent.__main__ import main
from agent.config_change import config_stage
config_stage.MIN_TRIAL_S = 60.0
sys.exit(main(sys.argv[1:]))
"""
"""`vigie` that confirms no version before the broker is gone."""


class Centre(BareClient):
    """Sends configurations to one box, and receives what it reports."""

    def __init__(self, url: str) -> None:
        super().__init__(BrokerConfig(url=url), "centre")
        self.masked: bool | None = None
        self.link.subscribe([topics.up_topic(BOX, "config"), topics.up_topic(BOX, "declaration")])
        self.wait_for(Suback)

    def send(self, version: int, **fields: Any) -> None:
        """Publish a version, retained."""
        message = {"box": BOX, "version": version, "by": "amina", "role": "supervisor", **fields}
        self.publish(topics.down_topic(BOX, "config"), msgspec.json.encode(message), retained=True)

    def wait_for_report(self, state: str, version: int) -> ReportedConfig:
        """The first report of this state and version."""
        while True:
            received = self.wait_for(ReceivedPublish)
            assert isinstance(received, ReceivedPublish)
            if received.topic.endswith("declaration"):
                declared = msgspec.json.decode(received.payload, type=DeclarationMessage)
                self.masked = declared.data.cameras[0].masked
                continue
            report = msgspec.json.decode(received.payload, type=ConfigMessage).data
            if (report.state, report.version) == (state, version):
                return report


@pytest.fixture
def centre(mosquitto: Mosquitto) -> Iterator[Centre]:
    made = Centre(mosquitto.url)
    yield made
    made.link.abort()


@pytest.fixture
def pole(mosquitto: Mosquitto, tmp_path: Path) -> Iterator[AgentBox]:
    """A box that records short files of a street that it encodes itself, and of a stream that is encoded already."""
    write_street_clip(tmp_path / "street.mp4", 4.0)
    box = AgentBox(tmp_path / "box", mosquitto.url, DRAWN, detect_fps=1)
    file = box.folder / "vigie.toml"
    text = file.read_text().replace('scene = "scene.toml"', "enabled = false")
    options = f'{{ path = "{tmp_path / "street.mp4"}", loop = true }}'
    text += f'[[camera]]\nname = "south"\ndriver = "replay"\noptions = {options}\n'
    file.write_text(f"{text}[camera.detect]\nenabled = false\n[record]\nsegment_s = 3\n")
    yield box
    box.kill()


def footage(box: AgentBox, camera: str) -> list[catalogue.FootageEntry]:
    state = box.folder / "state"
    return catalogue.find_segments(state / "footage", state / "custody", [camera], None, None)


def closed_files(box: AgentBox) -> int:
    return len(list((box.folder / "state" / "footage" / "north").glob("*.mp4")))


def hidden_frames(entries: list[catalogue.FootageEntry]) -> list[bool]:
    """For each picture whether its left half is masked."""
    found = []
    for entry in entries:
        with av.open(str(entry.path)) as container:
            for frame in container.decode(video=0):
                y = frame_planes(frame)[0].astype(int)
                left = y[:, : y.shape[1] // 2 - 8]
                found.append(bool(np.abs(left - MASK_LUMA).max() <= 6))
    return found


def receipts(box: AgentBox) -> list[ReceiptBody]:
    chain = sorted((box.folder / "state" / "custody").glob("*.chain"))
    return [
        parse_line(line).receipt.body for file in chain for line in file.read_bytes().splitlines()
    ]


def serviced(box: AgentBox) -> list[str]:
    return [
        f"{body.by}: {body.action}" for body in receipts(box) if isinstance(body, ServiceAction)
    ]


def test_a_scene_reaches_a_box_that_records_without_a_lost_frame(
    pole: AgentBox, centre: Centre
) -> None:
    pole.start()
    assert centre.wait_for_report("in_force", 0).refused is None
    assert centre.masked is False
    wait_until(lambda: closed_files(pole))
    pid = pole.pid
    centre.send(1, scenes={"north": MASK, "south": MASK})
    assert centre.wait_for_report("on_trial", 1).by == "amina"
    report = centre.wait_for_report("in_force", 1)
    assert report.refused is None
    assert report.since is not None
    assert centre.masked is True
    at_change = closed_files(pole)
    wait_until(lambda: closed_files(pole) > at_change)
    assert pole.pid == pid
    assert pole.stop(signal.SIGTERM) == 0
    assert "Traceback" not in pole.log

    north = footage(pole, "north")
    hidden = hidden_frames(north)
    first = hidden.index(True)
    assert not any(hidden[:first])
    assert all(hidden[first:])
    closed = [entry.closed for entry in north if entry.closed is not None]
    assert len(closed) == len(north)
    version = mask_store.version([LEFT_HALF])
    applied = [(one.mask, one.mask_applied) for one in closed]
    assert applied == sorted(applied, key=lambda pair: pair[1], reverse=True)
    assert set(applied) == {(None, "none"), (version, "camera")}
    span_ns = closed[-1].begin_ns + closed[-1].duration_ns - closed[0].begin_ns
    assert len(hidden) == pytest.approx(span_ns * FPS / 1e9, abs=1)
    for one, following in pairwise(closed):
        gap_ns = following.begin_ns - one.begin_ns - one.duration_ns
        assert abs(gap_ns) < 0.5e9 / FPS

    south = footage(pole, "south")
    assert not any(hidden_frames(south))
    last = south[-1].closed
    assert last is not None
    assert (last.mask, last.mask_applied) == (version, "export")
    masks_dir = pole.folder / "state" / mask_store.MASKS_DIR
    assert mask_store.masks_to_apply(masks_dir, [last]) == (LEFT_HALF,)
    assert serviced(pole) == [
        "amina: configuration 1: on trial: scenes.north, scenes.south",
        "amina: configuration 1: in force",
    ]


def test_a_setting_takes_a_restart_and_an_older_version_is_refused(
    pole: AgentBox, centre: Centre
) -> None:
    centre.send(2, settings={"record": {"flush_s": 2}, "camera": {"north": {"transcode": True}}})
    pole.start()
    assert pole.wait_for_exit() == 0
    pole.start()
    centre.wait_for_report("on_trial", 2)
    centre.wait_for_report("in_force", 2)
    centre.send(1, settings={})
    while (refused := centre.wait_for_report("in_force", 2).refused) is None:
        pass
    assert refused.version == 1
    assert refused.reasons == ("version = 1: 2 was decided already; allowed: 3 to 1002",)
    centre.send(3, settings={"broker": {"url": "mqtt://127.0.0.1:1"}})
    while (
        refused := centre.wait_for_report("in_force", 2).refused
    ) is None or refused.version != 3:
        pass
    assert refused.reasons[0].startswith("broker: the centre may not set it: the way back")
    assert pole.stop(signal.SIGTERM) == 0


def test_an_agent_that_nothing_would_start_again_refuses_settings_and_records_on(
    pole: AgentBox, centre: Centre
) -> None:
    environ = {key: value for key, value in os.environ.items() if key != "NOTIFY_SOCKET"}
    with (pole.folder / "log").open("ab") as log:
        agent = subprocess.Popen(
            [sys.executable, *pole.command], cwd=pole.folder, stdout=log, stderr=log, env=environ
        )
    try:
        centre.wait_for_report("in_force", 0)
        centre.send(1, settings={"record": {"flush_s": 2}})
        while (refused := centre.wait_for_report("in_force", 0).refused) is None:
            pass
        assert refused.reasons == (f"it takes effect by a restart: {NO_SERVICE_MANAGER}",)
        before = closed_files(pole)
        wait_until(lambda: closed_files(pole) > before)
        assert agent.poll() is None
    finally:
        agent.kill()
        agent.wait(TIMEOUT_S)


def test_without_the_broker_a_version_is_rolled_back(
    pole: AgentBox, centre: Centre, mosquitto: Mosquitto
) -> None:
    pole.command = ("-c", LONG_TRIAL, "run", "--config", "vigie.toml")
    pole.start()
    centre.wait_for_report("in_force", 0)
    centre.send(1, confirm_s=30, scenes={"north": MASK})
    centre.wait_for_report("on_trial", 1)
    mosquitto.stop(signal.SIGKILL)
    centre.link.abort()
    wait_until(lambda: "rolled back" in pole.log, TIMEOUT_S)
    mosquitto.start()
    again = Centre(mosquitto.url)
    try:
        refused = again.wait_for_report("in_force", 0).refused
    finally:
        again.link.abort()
    assert refused is not None
    assert refused.reasons == ("rolled back: not connected to the broker",)
    assert pole.stop(signal.SIGTERM) == 0
    hidden = hidden_frames(footage(pole, "north"))
    assert any(hidden)
    assert not hidden[0]
    assert not hidden[-1]


def test_a_lost_version_closes_the_camera_until_the_retained_message_restores_it(
    pole: AgentBox, centre: Centre
) -> None:
    pole.start()
    centre.send(1, scenes={"north": MASK})
    centre.wait_for_report("in_force", 1)
    at_change = closed_files(pole)
    wait_until(lambda: closed_files(pole) > at_change)
    assert pole.stop(signal.SIGTERM) == 0
    (pole.folder / "state" / "desired" / "layer.json").unlink()
    pole.start()
    centre.wait_for_report("damaged", 0)
    assert pole.wait_for_exit() == 0
    before = closed_files(pole)
    pole.start()
    centre.wait_for_report("in_force", 1)
    wait_until(lambda: closed_files(pole) > before)
    assert pole.stop(signal.SIGTERM) == 0
    hidden = hidden_frames(footage(pole, "north"))
    assert all(hidden[hidden.index(True) :])
    quarantined = [body.name for body in receipts(pole) if isinstance(body, FileQuarantined)]
    assert quarantined == ["desired/layer.json.damaged"]


def test_a_version_that_is_lost_with_the_state_inventory_closes_the_camera(
    pole: AgentBox, centre: Centre
) -> None:
    pole.start()
    centre.send(1, scenes={"north": MASK})
    centre.wait_for_report("in_force", 1)
    assert pole.stop(signal.SIGTERM) == 0
    state = pole.folder / "state"
    shutil.rmtree(state / "desired")
    (state / "identity" / INVENTORY_FILE).unlink()
    before = closed_files(pole)
    for _ in range(2):
        pole.start()
        report = centre.wait_for_report("damaged", 0)
        while report.refused is None or report.refused.version != 1:
            report = centre.wait_for_report("damaged", 0)
        assert pole.stop(signal.SIGTERM) == 0
    assert closed_files(pole) == before
    quarantined = {body.name for body in receipts(pole) if isinstance(body, FileQuarantined)}
    assert quarantined == {"desired/layer.json.damaged", f"identity/{INVENTORY_FILE}.damaged"}
