"""An incident on two whole agents over a real broker: one is away at first, the other is killed in the middle."""

import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.base.clock import rfc3339
from agent.base.model import IncidentReport
from agent.base.state_file import StateFile
from agent.config.broker import BrokerConfig
from agent.recording.custody.receipts import IncidentChanged, parse_line
from agent.recording.retention.hold import Hold
from agent.reporting.payloads import EventData, EventMessage, HealthMessage, SnapshotHeader
from centre.client import ReceivedMessage
from tests.whole.report.broker import Mosquitto
from tests.whole.report.reporting_box import BareClient
from tests.whole.rig import AgentBox, RunningCentre

CHILD = Path(__file__).parent / "trusted_run.py"
TOPIC = "vigie/v1/incident/2026-118"
CAMERA = 'driver = "fake"\noptions = { width_px = 320, height_px = 180, fps = 5 }'
EXTRA = """
[[head]]
name = "mast"
driver = "fake"
"""


class IncidentAgent(AgentBox):
    """A box of the group `street`, with a head, whose clock is trusted."""

    command = (str(CHILD), "--config", "vigie.toml")

    def __init__(self, folder: Path, url: str, box_id: str) -> None:
        super().__init__(folder, url, CAMERA, detect_fps=2)
        file = folder / "vigie.toml"
        text = file.read_text().replace('"casa-0001"', f'"{box_id}"\ngroups = ["street"]')
        file.write_text(text + EXTRA)
        self.id = box_id

    def receipts(self) -> list[IncidentChanged]:
        bodies = [
            parse_line(line).receipt.body
            for path in sorted((self.folder / "state" / "custody").glob("*.chain"))
            for line in path.read_bytes().splitlines()
        ]
        return [body for body in bodies if isinstance(body, IncidentChanged)]

    def holds(self) -> list[Hold]:
        files = (self.folder / "state" / "holds").glob("*.json")
        found = [StateFile(path, Hold).read() for path in files]
        return [hold for hold in found if hold is not None and hold.kind == "manual"]


@pytest.fixture
def agents(mosquitto: Mosquitto, tmp_path: Path) -> Iterator[tuple[IncidentAgent, IncidentAgent]]:
    boxes = tuple(
        IncidentAgent(tmp_path / name, mosquitto.url, name) for name in ("pole-17", "pole-18")
    )
    yield boxes[0], boxes[1]
    for box in boxes:
        box.kill()


def publish(mosquitto: Mosquitto, payload: bytes) -> None:
    """As a coordinator at the centre: the broker keeps the order."""
    client = BareClient(BrokerConfig(url=mosquitto.url), "coordinator")
    client.publish(TOPIC, payload, retained=True)
    client.link.abort()


def order(revision: int, minutes: float = 60, **fields: Any) -> bytes:
    now = datetime.now(UTC)
    return msgspec.json.encode(
        {
            "id": "2026-118",
            "revision": revision,
            "issued": rfc3339(now),
            "ends": rfc3339(now + timedelta(minutes=minutes)),
            "by": "amina",
            "role": "incident",
            "case": "2026/118",
            "to": {"groups": ["street"]},
            "footage": {"before_min": 5},
            "heads": {},
            "pictures": {"every_s": 2},
            "rates": {"fps": 20},
            **fields,
        }
    )


def events(received: list[ReceivedMessage], box: str) -> list[EventData]:
    """The revisions of a box's incident, in their order: of emergencies the newest is sent first."""
    found = [
        item.message.data
        for item in received
        if isinstance(item.message, EventMessage)
        and item.message.box == box
        and item.message.data.kind == "incident"
    ]
    return sorted(found, key=lambda event: event.rev)


def reports(received: list[ReceivedMessage], box: str) -> list[IncidentReport]:
    found = [event.incident for event in events(received, box)]
    return [report for report in found if isinstance(report, IncidentReport)]


def outcomes(report: IncidentReport) -> dict[str, str]:
    return {f"{one.part} {one.of}": one.outcome for one in report.outcomes}


ALL_DONE = {
    "footage north": "done",
    "heads mast": "done",
    "pictures north": "done",
    "fps north": "done",
}


def is_all_done(box: str) -> Callable[[list[ReceivedMessage]], bool]:
    return lambda received: any(outcomes(report) == ALL_DONE for report in reports(received, box))


def test_two_boxes_join_one_later_one_is_killed_and_both_end(
    agents: tuple[IncidentAgent, IncidentAgent], centre: RunningCentre, mosquitto: Mosquitto
) -> None:
    here, away = agents
    here.start()
    centre.wait_for(
        lambda all_: any(isinstance(item.message, HealthMessage) for item in all_),
        "a health report",
    )
    publish(mosquitto, order(1))
    centre.wait_for(is_all_done("pole-17"), "an incident at the box that is there")
    centre.wait_for(
        lambda all_: any(
            isinstance(item.message, SnapshotHeader) and item.topic.endswith("/north/incident")
            for item in all_
        ),
        "a picture of the incident",
    )

    away.start()
    received = centre.wait_for(is_all_done("pole-18"), "an incident at the box that was away")
    assert events(received, "pole-18")[0].phase == "begin"

    assert here.stop(signal.SIGKILL) == -signal.SIGKILL
    publish(mosquitto, order(2, minutes=120))
    here.start()
    received = centre.wait_for(
        lambda all_: any(
            report.revision == 2 and outcomes(report) == ALL_DONE
            for report in reports(all_, "pole-17")
        ),
        "the extended incident after a kill",
    )
    (event_id,) = {event.event for event in events(received, "pole-17")}

    publish(mosquitto, order(3, ended=True))
    for box in agents:
        received = centre.wait_for(
            lambda all_, box=box: events(all_, box.id)[-1].phase == "end",  # type: ignore[misc]
            f"the end at {box.id}",
        )
        last = reports(received, box.id)[-1]
        assert (last.state, last.revision, last.by) == ("ended", 3, "amina")
        assert box.stop(signal.SIGTERM) == 0
        assert "Traceback" not in box.log
        assert [receipt.change for receipt in box.receipts()] == ["begun", "extended", "ended"]
        assert {receipt.case for receipt in box.receipts()} == {"2026/118"}
        (hold,) = box.holds()
        assert (hold.owner, hold.case, hold.ongoing) == ("amina", "2026/118", False)
    assert events(received, "pole-17")[-1].event == event_id
