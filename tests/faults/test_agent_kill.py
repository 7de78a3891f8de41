"""SIGKILL to the whole agent, again and again: what the outbox took arrives, and once."""

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
from tests.whole.rig import Box, Centre, drawn

KILLS = 50
LONGEST_LIFE_S = 1.5


def outbox_of(box: Box) -> tuple[schema.State, set[int]]:
    """What the database of a box that does not run says: its own row, and what waits in it."""
    file = box.folder / "state" / "outbox" / "current" / "messages.db"
    connection = schema.connect(file)
    try:
        schema.check(connection)
        waiting = {seq for (seq,) in connection.execute("SELECT seq FROM message")}
        return schema.read_state(connection), waiting
    except sqlite3.Error as error:
        raise AssertionError(f"the outbox did not survive: {error}") from error
    finally:
        connection.close()


def test_what_the_outbox_took_arrives_once_whenever_the_agent_dies(
    mosquitto: Mosquitto, centre: Centre, tmp_path: Path
) -> None:
    # In fast pace a street's minute passes in seconds: there is always something to tell.
    box = Box(tmp_path / "busy", mosquitto.url, drawn('pace = "fast"'))
    seed = 20261125
    rng = random.Random(seed)
    moment = threading.Event()
    for _ in range(KILLS):
        box.start()
        moment.wait(rng.uniform(0, LONGEST_LIFE_S))  # the moment is random: nothing is awaited
        assert box.end(signal.SIGKILL) == -signal.SIGKILL
    box.start()
    epoch = outbox_epoch(centre)
    numbers = centre.store.ledger(epoch)
    centre.wait_for(lambda _: not numbers.holes(), "centre without holes")
    assert box.end(signal.SIGTERM) == 0
    state, waiting = outbox_of(box)
    assert state.epoch == epoch.epoch, "one database, all the way"
    seen = {seq for span in numbers.seen for seq in range(span.first, span.last + 1)}
    assert seen | waiting == set(range(1, state.last_seq + 1)), f"seed {seed}"
    assert state.lost == 0
    assert state.last_seq > KILLS, "the box had something to say"


def outbox_epoch(centre: Centre) -> BoxEpoch:
    """The one epoch that the centre has heard of."""
    heard = centre.wait_for(
        lambda all_: any(isinstance(h.message, EventMessage) for h in all_), "event"
    )
    (epoch,) = {h.envelope.epoch for h in heard if h.envelope is not None}
    return BoxEpoch("casa-0001", epoch)


def test_footage_of_a_killed_agent_plays(box: Box, centre: Centre) -> None:
    box.start()
    outbox_epoch(centre)
    part = next(iter((box.folder / "state" / "footage").rglob("*.part")))
    box.end(signal.SIGKILL)
    box.start()
    centre.wait_for(lambda _: not part.exists(), "recovered segment")
    box.end(signal.SIGTERM)
    for file in footage(box):
        with av.open(str(file)) as film:
            assert sum(1 for _ in film.decode(video=0)) > 0


def footage(box: Box) -> list[Path]:
    return sorted((box.folder / "state" / "footage").rglob("*.mp4"))
