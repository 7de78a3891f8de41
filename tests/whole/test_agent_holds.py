"""The whole agent: the holds of its events, on the wire, on the disk and in the chain."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.base.state_file import StateFile
from agent.recording.custody.receipts import (
    HoldPlaced,
    ReceiptBody,
    SegmentClosed,
    SegmentOpened,
    parse_line,
)
from agent.recording.retention.hold import Hold
from agent.recording.segment_name import PART_SUFFIX
from agent.reporting.payloads import EventMessage, HealthMessage
from centre.client import ReceivedMessage
from tests.whole.report.broker import Mosquitto
from tests.whole.report.reporting_box import wait_until
from tests.whole.rig import AgentBox, RunningCentre

HOLDING = """
[record]
segment_s = 1.0
[hold]
kinds = ["line"]
pre_s = 2
post_s = 3
"""


@pytest.fixture
def box(mosquitto: Mosquitto, tmp_path: Path) -> Iterator[AgentBox]:
    """Every line crossing of a person is held."""
    box = AgentBox(tmp_path / "box", mosquitto.url)
    configuration = box.folder / "vigie.toml"
    configuration.write_text(configuration.read_text() + HOLDING)
    yield box
    box.kill()


def lines(received: list[ReceivedMessage]) -> list[EventMessage]:
    return [
        h.message
        for h in received
        if isinstance(h.message, EventMessage) and h.message.data.kind == "line"
    ]


def is_file_open(box: AgentBox) -> bool:
    """Whether a killed agent has left a file open whose begin is in the chain."""
    opened = {body.segment for body in chain(box) if isinstance(body, SegmentOpened)}
    parts = (box.folder / "state" / "footage" / "north").glob(f"*{PART_SUFFIX}")
    return any(path.name.removesuffix(PART_SUFFIX) in opened for path in parts)


def chain(box: AgentBox) -> list[ReceiptBody]:
    return [
        parse_line(text).receipt.body
        for path in sorted((box.folder / "state" / "custody").glob("*.chain"))
        for text in path.read_bytes().splitlines()
    ]


def holds(box: AgentBox) -> dict[str, Hold]:
    files = (box.folder / "state" / "holds").glob("*.json")
    found = [StateFile(path, Hold).read() for path in files]
    return {hold.id: hold for hold in found if hold is not None}


def test_an_event_and_its_footage_belong_together(box: AgentBox, centre: RunningCentre) -> None:
    box.start()
    received = centre.wait_for(
        lambda all_: (
            len(lines(all_)) >= 3
            and any(
                isinstance(h.message, HealthMessage) and h.message.data.footage[0].holds
                for h in all_
            )
        ),
        "three events, and health that tells of holds",
    )
    assert box.stop(signal.SIGKILL) == -signal.SIGKILL
    footage_dir = box.folder / "state" / "footage" / "north"
    before = holds(box)
    # Footage that enough events hold gets no further hold.
    held_lines = [message for message in lines(received) if message.data.event in before]
    assert len(held_lines) >= 3
    for message in held_lines:
        hold = before[message.data.event]
        assert message.data.footage is not None
        assert (message.data.footage.begin, message.data.footage.end) == (
            hold.begin_time,
            hold.end_time,
        )
        assert hold.begin_ns == max(0, message.data.begin_ns - 2_000_000_000)
        assert hold.end_ns == message.data.t_ns + 3_000_000_000
    while not is_file_open(box):  # it was killed between two files
        box.start()
        wait_until(lambda: any(footage_dir.glob(f"*{PART_SUFFIX}")))
        assert box.stop(signal.SIGKILL) == -signal.SIGKILL

    box.start()
    many = len(lines(received))
    centre.wait_for(lambda all_: len(lines(all_)) > many, "another event")
    assert box.stop(signal.SIGTERM) == 0
    assert "Traceback" not in box.log
    assert before.keys() <= holds(box).keys(), "held through a kill"
    receipts = chain(box)
    held = {body.hold_id for body in receipts if isinstance(body, HoldPlaced)}
    assert before.keys() <= held
    closed = {body.segment: body for body in receipts if isinstance(body, SegmentClosed)}
    opened = {body.segment for body in receipts if isinstance(body, SegmentOpened)}
    footage = sorted(footage_dir.glob("*.mp4"))
    assert {path.name for path in footage} <= closed.keys()
    torn = opened - closed.keys()  # in its first group: no whole picture was in it
    assert torn or any(body.recovered for body in closed.values()), "the kill left a file open"
    assert {path.name for path in footage} <= opened
