"""The agent's own process renews its certificate by command: it reports on, encrypted, and no footage is missing."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.recording.custody.receipts import FootageGap, ServiceAction, parse_line
from tests.parts.command_rig import decode_result
from tests.whole.report.broker import Mosquitto
from tests.whole.report.est_server import EstServer
from tests.whole.report.reporting_box import wait_until
from tests.whole.report.test_tls import Secured
from tests.whole.rig import AgentBox
from tests.whole.test_care_commands import BOX, Operator

BROKER = """url = "{url}"
ca = "{folder}/ca.crt"
certificate = "{folder}/casa-0001.crt"
key = "{folder}/casa-0001.key"
[renewal]
url = "{est}"
[record]
segment_s = 1.0
"""


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[Secured]:
    started: list[Mosquitto] = []

    def start(config: str) -> Mosquitto:
        started.append(Mosquitto(tmp_path, config))
        return started[-1]

    (tmp_path / "tls").mkdir()
    secured = Secured(tmp_path / "tls", start)
    secured.certificates.issue(BOX, days=(-61, 29))
    yield secured
    for broker in started:
        broker.stop(signal.SIGKILL)


@pytest.fixture
def est(secured: Secured) -> Iterator[EstServer]:
    server = EstServer(secured.certificates.folder)
    yield server
    server.close()


@pytest.fixture
def box(tmp_path: Path, secured: Secured, est: EstServer) -> Iterator[AgentBox]:
    made = AgentBox(tmp_path / "box", secured.url, detect_fps=1)
    config = made.folder / "vigie.toml"
    broker = BROKER.format(url=secured.url, folder=secured.certificates.folder, est=est.url)
    config.write_text(config.read_text().replace(f'url = "{secured.url}"\n', broker))
    yield made
    made.kill()


def receipts(box: AgentBox) -> list[Any]:
    """The bodies of the custody log, oldest first."""
    files = sorted((box.folder / "state/custody").glob("*.chain"))
    lines = [line for file in files for line in file.read_bytes().splitlines(keepends=True)]
    return [parse_line(line).receipt.body for line in lines if line.endswith(b"\n")]


def segments(box: AgentBox) -> int:
    return len(list((box.folder / "state/footage/north").glob("*.mp4")))


def test_a_certificate_is_renewed_by_command_while_the_box_records(
    secured: Secured, est: EstServer, box: AgentBox
) -> None:
    patient = msgspec.structs.replace(secured.config("centre"), keepalive_s=600)
    operator = Operator(patient, "centre")
    try:
        box.start()
        operator.wait_online()
        wait_until(lambda: segments(box) >= 1)
        renewed = decode_result(operator.ask("renew", "one"))
        assert renewed["issuer"] == "CN=Vigie authority"
        operator.wait_online()
    finally:
        operator.link.abort()
    assert est.peers[0] == f"CN={BOX}"
    file = box.folder / "state/renewal/credentials.pem"
    # The box keeps the pair once its birth is out.
    wait_until(file.exists)
    assert b"PRIVATE KEY" in file.read_bytes()
    before = segments(box)
    wait_until(lambda: segments(box) > before)
    assert box.stop(signal.SIGTERM) == 0
    bodies = receipts(box)
    assert not [body for body in bodies if isinstance(body, FootageGap)]
    actions = [body for body in bodies if isinstance(body, ServiceAction)]
    assert ("amina", f"certificate renewed, valid until {renewed['not_after']}") in [
        (action.by, action.action) for action in actions
    ]
