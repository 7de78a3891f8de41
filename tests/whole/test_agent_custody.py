"""A running box's chain of custody, and its messages to the centre."""

import base64
import signal
from pathlib import Path

from cryptography.hazmat.primitives.serialization import load_pem_private_key

from agent.recording.custody.chain import ChainHead, verify_chain
from agent.recording.custody.receipts import AgentStarted, ReceiptLine
from agent.reporting.payloads import CustodyHead, OnlineStatus, ReceiptMessage, StatusMessage
from centre.client import ReceivedMessage
from tests.whole.rig import AgentBox, RunningCentre


def heads(received: list[ReceivedMessage]) -> list[ChainHead]:
    return [
        ChainHead(seq=m.data.seq, sha256=m.data.sha256, time=m.data.time)
        for m in (h.message for h in received)
        if isinstance(m, ReceiptMessage) and isinstance(m.data, CustodyHead)
    ]


def births(received: list[ReceivedMessage]) -> list[OnlineStatus]:
    return [
        h.message.data
        for h in received
        if isinstance(h.message, StatusMessage) and isinstance(h.message.data, OnlineStatus)
    ]


def public_key(state: Path) -> str:
    key = load_pem_private_key((state / "identity" / "box.key").read_bytes(), None)
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()  # type: ignore[union-attr]


def shown(lines: list[ReceiptLine]) -> list[ChainHead]:
    """Every receipt as the head that it once was."""
    return [
        ChainHead(seq=line.receipt.seq, sha256=line.sha256, time=line.receipt.time)
        for line in lines
    ]


def chain(state: Path, key: str) -> list[ReceiptLine]:
    text = b"".join(path.read_bytes() for path in sorted((state / "custody").glob("*.chain")))
    return list(verify_chain(text.splitlines(), "casa-0001", key, first_seq=1))


def test_the_centre_receives_the_key_and_heads_that_are_in_the_chain(
    box: AgentBox, centre: RunningCentre
) -> None:
    state = box.folder / "state"
    for start in (1, 2):
        box.start()
        centre.wait_for(
            lambda all_, start=start: len(births(all_)) >= start and len(heads(all_)) >= start,  # type: ignore[misc]
            "birth and head",
        )
        assert box.stop(signal.SIGTERM) == 0
    last_seq = chain(state, public_key(state))[-1].receipt.seq
    received = centre.wait_for(
        lambda all_: any(head.seq == last_seq for head in heads(all_)), "the head at the end"
    )
    key = births(received)[0].public_key
    assert {birth.public_key for birth in births(received)} == {key} == {public_key(state)}
    lines = chain(state, key)
    assert all(head in shown(lines) for head in heads(received))
    starts = [line for line in lines if isinstance(line.receipt.body, AgentStarted)]
    assert starts[0].receipt.seq == 1
    assert len(starts) == 2

    # A thief of the disk puts back the chain as it was: it verifies, and lacks what was published.
    newest = max(heads(received), key=lambda head: head.seq)
    rewound = [line for line in lines if line.receipt.seq < newest.seq]
    assert newest not in shown(rewound)


def test_a_box_with_a_damaged_key_continues_with_a_new_one_and_reports_it(
    box: AgentBox, centre: RunningCentre
) -> None:
    state = box.folder / "state"
    box.start()
    assert box.stop(signal.SIGTERM) == 0
    old = public_key(state)
    (state / "identity" / "box.key").write_bytes(b"\0" * 119)
    box.start()
    centre.wait_for(
        lambda all_: any(
            birth.public_key != old and "CUS-02" in {fault.code for fault in birth.faults}
            for birth in births(all_)
        ),
        "a birth with another key and the fault CUS-02",
    )
    assert box.stop(signal.SIGTERM) == 0
    assert chain(state, public_key(state))
    assert list((state / "custody" / "quarantine").iterdir())


def test_a_chain_removed_at_run_time_is_continued(box: AgentBox, centre: RunningCentre) -> None:
    state = box.folder / "state"
    box.start()
    centre.wait_for(lambda all_: bool(heads(all_)), "a head")
    # In one step: rmtree fails if the agent writes between the last file and the folder.
    (state / "custody").rename(box.folder / "removed")
    assert box.stop(signal.SIGTERM) == 0
    assert "Traceback" not in box.log
