"""SIGKILL to the whole agent, repeatedly: every message in the outbox arrives, and once."""

import os
import random
import signal
import sqlite3
import threading
from pathlib import Path

import av

from agent.reporting.outbox import schema
from agent.reporting.payloads import EventMessage
from centre.store import BoxEpoch
from tests.whole.report.broker import Mosquitto
from tests.whole.rig import AgentBox, RunningCentre, fake_camera_toml

KILLS = 50 if os.environ.get("VIGIE_CRASH") == "long" else 10
LONGEST_LIFE_S = 1.0


def outbox_of(box: AgentBox) -> tuple[schema.OutboxState, set[int]]:
    """Return the database of a stopped box: its own row, and the numbers of pending messages."""
    file = box.folder / "state" / "outbox" / "current" / "messages.db"
    connection = schema.open_connection(file)
    try:
        schema.check_integrity(connection)
        waiting = {seq for (seq,) in connection.execute("SELECT seq FROM message")}
        return schema.read_state(connection), waiting
    except sqlite3.Error as error:
        raise AssertionError(f"the outbox did not survive: {error}") from error
    finally:
        connection.close()


def test_each_stored_message_arrives_once_whenever_the_agent_dies(
    mosquitto: Mosquitto, centre: RunningCentre, tmp_path: Path
) -> None:
    # At fast pace a street's minute passes in seconds: there is always something to report.
    box = AgentBox(tmp_path / "busy", mosquitto.url, fake_camera_toml('pace = "fast"'))
    seed = 20261125
    rng = random.Random(seed)
    moment = threading.Event()
    for _ in range(KILLS):
        box.start()
        moment.wait(rng.uniform(0, LONGEST_LIFE_S))  # the moment is random: nothing is awaited
        assert box.stop(signal.SIGKILL) == -signal.SIGKILL
    box.start()
    epoch = outbox_epoch(centre)
    numbers = centre.store.deduplicator(epoch)
    centre.wait_for(lambda _: not numbers.missing_ranges(), "centre without holes")
    assert box.stop(signal.SIGTERM) == 0
    state, waiting = outbox_of(box)
    assert state.epoch == epoch.epoch, "one database, all the way"
    seen = {seq for span in numbers.received for seq in range(span.first, span.last + 1)}
    assert seen | waiting == set(range(1, state.last_seq + 1)), f"seed {seed}"
    assert state.lost == 0
    assert state.last_seq > KILLS, "the box had something to say"


def outbox_epoch(centre: RunningCentre) -> BoxEpoch:
    """The one epoch that the centre knows."""
    received = centre.wait_for(
        lambda all_: any(isinstance(h.message, EventMessage) for h in all_), "event"
    )
    (epoch,) = {h.envelope.epoch for h in received if h.envelope is not None}
    return BoxEpoch("casa-0001", epoch)


def test_footage_of_a_killed_agent_plays(box: AgentBox, centre: RunningCentre) -> None:
    box.start()
    outbox_epoch(centre)
    part = next(iter((box.folder / "state" / "footage").rglob("*.part")))
    box.stop(signal.SIGKILL)
    box.start()
    centre.wait_for(lambda _: not part.exists(), "recovered segment")
    box.stop(signal.SIGTERM)
    for file in footage(box):
        with av.open(str(file)) as video:
            assert sum(1 for _ in video.decode(video=0)) > 0


def footage(box: AgentBox) -> list[Path]:
    return sorted((box.folder / "state" / "footage").rglob("*.mp4"))
