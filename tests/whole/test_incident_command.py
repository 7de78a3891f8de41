"""`vigie incident`: from the keys of a new authority to the reports of a whole agent, over a real broker."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.__main__ import main
from agent.base.model import IncidentReport
from agent.config.broker import BrokerConfig
from agent.reporting import topics
from agent.reporting.centre_topics import centre_state_topic
from centre import control_keys
from centre.incident_exchange import read_revision
from centre.signing import sign_centre_state
from tests import fleet_messages
from tests.whole.report.broker import Mosquitto
from tests.whole.report.reporting_box import BareClient
from tests.whole.test_incident import IncidentAgent

INTERRUPTED = 128 + signal.SIGINT


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A folder with a control authority, and the keys of a coordinator, a viewer and a centre."""
    assert main(["key", "authority", str(tmp_path / "control"), "Casablanca"]) == 0
    for name, role in (("amina", "incident"), ("salma", "viewer"), ("centre", "centre")):
        file = str(tmp_path / name)
        assert main(["key", "request", name, "--key", f"{file}.key"]) == 0
        issue = ["key", "issue", str(tmp_path / "control"), f"{file}.csr", "--role", role]
        assert main([*issue, "--name", name, "--out", f"{file}.pem"]) == 0
    return tmp_path


@pytest.fixture
def box(keys: Path, mosquitto: Mosquitto) -> Iterator[IncidentAgent]:
    """A box that takes signed orders only."""
    box = IncidentAgent(keys / "box", mosquitto.url, "pole-17")
    configuration = box.folder / "vigie.toml"
    ca = keys / "control" / "control-ca.pem"
    configuration.write_text(configuration.read_text() + f'[control]\nca = "{ca}"\n')
    # Without a centre that listens a box keeps its reports.
    centre = control_keys.load_identity(keys / "centre.pem", keys / "centre.key")
    client = BareClient(BrokerConfig(url=mosquitto.url), "centre")
    state = sign_centre_state("listening", centre)
    client.publish(centre_state_topic("centre"), state, retained=True)
    client.link.abort()
    box.start()
    yield box
    box.kill()


def test_an_incident_is_ordered_extended_and_ended_with_a_signature(
    keys: Path, box: IncidentAgent, mosquitto: Mosquitto, capsys: pytest.CaptureFixture[str]
) -> None:
    def arguments(*words: str, by: str = "amina", wait_s: int = 600) -> list[str]:
        signer = ["--signer", str(keys / f"{by}.pem"), "--signer-key", str(keys / f"{by}.key")]
        where = ["--broker", mosquitto.url, "--wait", str(wait_s), "--json"]
        return ["incident", "2026-118", *words, *signer, *where]

    def order(*words: str, until: str) -> list[Any]:
        """Return the reports up to the first one of a state, after which the command is interrupted."""
        command = [sys.executable, "-m", "agent", *arguments(*words)]
        reports: list[Any] = []
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for line in process.stdout:
                reports.append(msgspec.json.decode(line))
                if reports[-1]["report"]["state"] == until:
                    break
            process.send_signal(signal.SIGINT)
            # A further report to a reader that has gone would end the command first, with 0.
            reports += map(msgspec.json.decode, process.stdout)
        assert process.returncode == INTERRUPTED, box.log
        return reports

    capsys.readouterr()
    assert main(arguments("to.all=true", by="salma", wait_s=1)) == 1
    assert capsys.readouterr().out == ""
    street = ('to.groups=["street"]', "footage.before_min=5", "case=2026/118")
    reports = order(*street, until="running")
    assert {report["box"] for report in reports} == {"pole-17"}
    assert (reports[-1]["report"]["state"], reports[-1]["report"]["revision"]) == ("running", 2)
    assert reports[-1]["report"]["by"] == "amina"
    reports = order("--end", until="ended")
    assert (reports[-1]["report"]["state"], reports[-1]["report"]["revision"]) == ("ended", 3)
    assert box.stop(signal.SIGTERM) == 0
    assert [receipt.change for receipt in box.receipts()] == ["begun", "ended"]
    assert [(receipt.by, receipt.role) for receipt in box.receipts()] == [("amina", "incident")] * 2


def test_without_a_report_it_says_that_no_centre_listens(
    keys: Path, mosquitto: Mosquitto, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["incident", "2026-118", "to.all=true", "--wait", "0.2", "--broker", mosquitto.url]
    signer = ["--signer", str(keys / "amina.pem"), "--signer-key", str(keys / "amina.key")]
    assert main([*words, *signer]) == 1
    assert "no centre listens (vigie/v1/centre/+/state)" in capsys.readouterr().err
    client = BareClient(BrokerConfig(url=mosquitto.url), "centre")
    centre = control_keys.load_identity(keys / "centre.pem", keys / "centre.key")
    state = sign_centre_state("listening", centre)
    client.publish(centre_state_topic("centre"), state, retained=True)
    client.link.abort()
    assert main([*words, *signer]) == 1
    assert "no centre listens" not in capsys.readouterr().err
    # With a report, which the command has as soon as it has subscribed, it succeeds.
    report = IncidentReport(
        incident="2026-118",
        state="running",
        revision=3,
        by="amina",
        role="incident",
        case=None,
        ends=fleet_messages.CONNECTED,
        reason=None,
    )
    message = fleet_messages.event()
    data = msgspec.structs.replace(message.data, incident=report)
    client = BareClient(BrokerConfig(url=mosquitto.url), "pole-17")
    client.publish(
        topics.up_topic("pole-17", "event/box/incident"),
        msgspec.json.encode(msgspec.structs.replace(message, data=data)),
        retained=True,
    )
    client.link.abort()
    assert main([*words, *signer]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a/b", "to.all=true"], "id = 'a/b'"),
        (["i"], "to: missing"),
        (["i", "to.all=true", "siren=true"], "siren: unknown key"),
        (["i", "--end", "to.all=true"], "--end: allowed: without further arguments"),
        (["i", "to.all=true", "--hours", "25"], "--hours 25"),
    ],
)
def test_a_mistake_is_one_line_before_the_broker_is_asked(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["incident", *words, "--by", "amina", "--broker", "mqtt://127.0.0.1:1"]) == 2
    errors = capsys.readouterr().err
    assert message in errors
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    "payload", [b"", b"\xff", b"{}", b'{"revision":"x"}', b'{"payload":"%","signatures":[]}']
)
def test_what_is_no_order_has_no_revision(payload: bytes) -> None:
    assert read_revision(payload) == 0
