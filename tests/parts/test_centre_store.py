"""centre.store: what a centre commits, and which messages it acknowledges then."""

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from agent.base.errors import UserError
from agent.reporting.mqtt.packets import ReceivedPublish
from agent.reporting.payloads import Message
from centre.client import decode_received
from centre.store import BoxEpoch, CentreStore, StoredArrival, read_received
from tests.fleet_messages import NOW, declaration, head, health, status, stored_arrival

BOX = BoxEpoch("pole-17", "e")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CentreStore]:
    store = CentreStore.open(tmp_path / "centre.db")
    yield store
    store.close()


def test_reports_that_have_no_number_ask_for_no_acknowledgement(store: CentreStore) -> None:
    """They come in one packet with the counts of a minute, which wait for the chain head."""
    numbered = stored_arrival(head(1, 5, seq=1))
    reports = [stored_arrival(health(), "health"), stored_arrival(declaration(), "declaration")]
    assert store.commit([reports[0], numbered, reports[1]], "centre") == (numbered,)
    assert store.commit(reports, "centre") == ()
    assert store.commit([numbered], "centre") == (numbered,), "its acknowledgement was lost"


def received_arrival(message: Message, **data: object) -> StoredArrival:
    """Return a message with other data as a centre stores it, decoded as far as possible."""
    document = json.loads(msgspec.json.encode(message))
    document["data"] |= data
    received = ReceivedPublish(
        topic="vigie/v1/pole-17/up/status",
        payload=json.dumps(document).encode(),
        retained=True,
        properties=(),
    )
    item = decode_received(received, NOW)
    assert item.envelope is not None
    return msgspec.structs.replace(
        stored_arrival(message, "status"), message=item.message, payload=item.payload
    )


@pytest.mark.parametrize("upto", [-1, 2**53 + 1, 2**63, 10**20])
@pytest.mark.parametrize("field", ["acked_upto", "acked_upto_by_centre"])
def test_a_birth_whose_floor_is_outside_the_contract_holds_up_no_other_message(
    store: CentreStore, field: str, upto: int
) -> None:
    floor = {"centre": upto} if field.endswith("centre") else upto
    numbered = stored_arrival(head(1, 5, seq=1))
    batch = [received_arrival(status(), **{field: floor}), numbered]
    assert store.commit(batch, "centre") == (numbered,)
    assert store.deduplicator(BOX).build_ack().upto == 1


def test_a_commit_whose_journal_was_aborted_is_not_acknowledged(
    store: CentreStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbered = stored_arrival(head(1, 5, seq=1))

    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as aborted:
        aborted.setattr(os, "removexattr", refuse)
        for _ in range(2):
            with pytest.raises(UserError, match=r"--store: .*Read-only file system"):
                store.commit([numbered], "centre")
            assert store.deduplicator(BOX).build_ack().upto == 0
    assert store.commit([numbered], "centre") == (numbered,)
    assert store.deduplicator(BOX).build_ack().upto == 1


def test_a_number_that_a_box_has_given_again_is_stored_and_a_repeat_is_not(tmp_path: Path) -> None:
    """An older state of the box was put back, with its outbox: the same epoch, and other messages under its numbers."""
    first = stored_arrival(head(1, 5, seq=1, message_id="before"))
    again = stored_arrival(head(1, 5, seq=1, message_id="after"))
    for _ in range(2):
        store = CentreStore.open(tmp_path / "centre.db")
        for arrival in (first, first, again, again, first):
            assert store.commit([arrival], "centre") == (arrival,)
        assert store.deduplicator(BOX).build_ack().upto == 1
        store.close()
    received = list(read_received(tmp_path / "centre.db", first.topic))
    assert sorted(payload for _, payload in received) == sorted((first.payload, again.payload))
