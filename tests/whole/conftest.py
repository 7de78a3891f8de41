"""The real things: a mosquitto, an agent in its own process, a centre."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.whole.report.broker import Mosquitto
from tests.whole.rig import AgentBox, RunningCentre


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    folder = tmp_path / "mosquitto"
    folder.mkdir()
    broker = Mosquitto(folder)
    yield broker
    broker.stop(signal.SIGKILL)


@pytest.fixture
def centre(mosquitto: Mosquitto, tmp_path: Path) -> Iterator[RunningCentre]:
    centre = RunningCentre(mosquitto.url, tmp_path / "centre.db")
    yield centre
    centre.close()


@pytest.fixture
def box(mosquitto: Mosquitto, tmp_path: Path) -> Iterator[AgentBox]:
    box = AgentBox(tmp_path / "box", mosquitto.url)
    yield box
    box.kill()
