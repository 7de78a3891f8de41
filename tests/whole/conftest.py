"""The real things: a mosquitto, an agent in its own process, a centre."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.whole.pole_page_box import Phone, make_root
from tests.whole.report.broker import Mosquitto
from tests.whole.rig import AgentBox, RunningCentre
from tests.whole.served_page import ScriptedActs, ServedPage, reply_done, served_page


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


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ServedPage, ScriptedActs]]:
    """A page that is on, and the act server that a test plays."""
    # A short path: unix(7) allows 107 bytes for that of a socket.
    with served_page(make_root(tmp_path_factory.mktemp("page"))) as made:
        yield made


@pytest.fixture
def page(served: tuple[ServedPage, ScriptedActs]) -> ServedPage:
    return served[0]


@pytest.fixture
def acts(served: tuple[ServedPage, ScriptedActs]) -> Iterator[ScriptedActs]:
    served[1].requests.clear()
    yield served[1]
    served[1].answer = reply_done


@pytest.fixture
def phone(page: ServedPage, acts: ScriptedActs) -> Phone:
    assert acts
    return page.logged_in()
