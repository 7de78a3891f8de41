"""agent.recording.custody.receipts and chain: the receipts, their lines, and the verification of a chain."""

from itertools import pairwise

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from agent.base.clock import ClockTrust
from agent.base.signed_manifest import decode_public_key
from agent.recording.custody.chain import BrokenChain, verify_chain
from agent.recording.custody.receipts import (
    GENESIS_SHA256,
    AgentStarted,
    BadReceipt,
    FootageGap,
    Receipt,
    ReceiptLine,
    SegmentOpened,
    encode_receipt,
    format_line,
    parse_line,
    receipt_hash,
)

BOX = "pole-17"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC_KEY = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
GAP = FootageGap(camera="north", begin_ns=1, end_ns=2, reason="the disk")


def receipt(seq: int, before: str, **change: object) -> Receipt:
    plain = Receipt(
        box=BOX,
        seq=seq,
        prev_sha256=before,
        boot="first",
        t_ns=seq * 10,
        time="2026-11-03T07:41:05.250Z",
        clock=ClockTrust(synced=True, source="ntp", error_s=0.012),
        body=SegmentOpened(camera="north", segment=f"{seq}.mp4"),
    )
    return msgspec.structs.replace(plain, **change)


def signed(text: bytes, key: Ed25519PrivateKey = KEY) -> bytes:
    return format_line(key.sign(text), text)


def chain(count: int, first: int = 1, **last: object) -> list[bytes]:
    """Lines of a valid chain; `last` is the content of the last receipt."""
    lines: list[bytes] = []
    prev_sha256 = GENESIS_SHA256 if first == 1 else "a" * 64
    for seq in range(first, first + count):
        change = last if seq == first + count - 1 else {}
        text = encode_receipt(receipt(seq, prev_sha256, **change))
        prev_sha256 = receipt_hash(text)
        lines.append(signed(text))
    return lines


def test_a_receipt_line_has_the_documented_bytes() -> None:
    """An example to hold another implementation against (docs/custody.md)."""
    assert chain(1)[0] == (
        b"DH8PiuRnyMHOoF3kVmWbfMCTU0x+D5UdJIbO7tQX1GmCbdgkjzsP39pl/4n3a387IF2MsOVQ3ayoAlBtsqIdDg== "
        b'{"v":1,"box":"pole-17","seq":1,'
        b'"prev_sha256":"0000000000000000000000000000000000000000000000000000000000000000",'
        b'"boot":"first","t_ns":10,"time":"2026-11-03T07:41:05.250Z",'
        b'"clock":{"synced":true,"source":"ntp","error_s":0.012},'
        b'"body":{"kind":"opened","camera":"north","segment":"1.mp4"}}\n'
    )


def test_a_line_is_read_back_as_it_was_written() -> None:
    text = encode_receipt(receipt(1, GENESIS_SHA256))
    line = parse_line(signed(text))
    assert line == ReceiptLine(
        signature=KEY.sign(text), json=text, receipt=receipt(1, GENESIS_SHA256)
    )
    assert line.sha256 == receipt_hash(text)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\n",
        b"AAAA {}",
        b"A" * 88 + b" {}",
        # The same 64 bytes in another base64: the last character's four lowest bits are free.
        chain(1)[0].replace(b"== ", b"=  "),
        chain(1)[0].replace(b"g== ", b"h== "),
        chain(1)[0].replace(b" ", b"\t", 1),
        chain(1)[0].replace(b'"v":1', b'"v":2'),
        chain(1)[0].replace(b'"seq":1', b'"seq":0'),
        chain(1)[0].replace(b'"seq":1', b'"seq":9007199254740993'),
        chain(1)[0].replace(b'"opened"', b'"shut"'),
        chain(1)[0].replace(b"05.250Z", b"05.25Z"),
        chain(1)[0].replace(b"north", b"\xff"),
        b"A" * 86 + b"== " + b'{"body":' * 100_000,
    ],
)
def test_an_invalid_receipt_is_refused_in_one_line(text: bytes) -> None:
    with pytest.raises(BadReceipt) as caught:
        parse_line(text)
    assert "\n" not in str(caught.value)


@given(st.binary(max_size=300))
def test_garbage_is_refused_and_nothing_else_happens(text: bytes) -> None:
    with pytest.raises(BadReceipt):
        parse_line(text)


@pytest.mark.parametrize("first", [1, 7])
def test_a_valid_chain_is_returned_line_by_line(first: int) -> None:
    seqs = [line.receipt.seq for line in verify_chain(chain(5, first), BOX, PUBLIC_KEY)]
    assert seqs == list(range(first, first + 5))


def test_a_boot_may_begin_at_zero_again() -> None:
    assert len(list(verify_chain(chain(3, boot="second", t_ns=0), BOX, PUBLIC_KEY))) == 3


def come_back() -> list[bytes]:
    lines = chain(2, boot="second", t_ns=0)
    prev_sha256 = parse_line(lines[-1]).sha256
    return [*lines, signed(encode_receipt(receipt(3, prev_sha256, boot="first", t_ns=99)))]


@pytest.mark.parametrize(
    ("lines", "problem", "where"),
    [
        ([*chain(2), b"x\n"], "receipt", "line 3"),
        (chain(3, box="pole-18"), "box", "line 3 (seq 3)"),
        ([*chain(2), signed(chain(3)[2][89:-1], OTHER_KEY)], "signature", "line 3 (seq 3)"),
        ([chain(2)[0], chain(3)[2]], "order", "line 2 (seq 3)"),
        ([chain(2)[0], chain(2)[0]], "order", "line 2 (seq 1)"),
        (chain(3, first=2), "order", "line 1 (seq 2)"),
        (chain(3, prev_sha256="b" * 64), "link", "line 3 (seq 3)"),
        (chain(1, prev_sha256="b" * 64), "link", "line 1 (seq 1)"),
        (chain(3, t_ns=19), "time", "line 3 (seq 3)"),
        (come_back(), "time", "line 3 (seq 3)"),
        (
            chain(3, body=AgentStarted(public_key="other", versions={}, recipients=())),
            "key",
            "line 3 (seq 3)",
        ),
    ],
)
def test_the_first_invalid_line_is_named(lines: list[bytes], problem: str, where: str) -> None:
    with pytest.raises(BrokenChain) as caught:
        list(verify_chain(lines, BOX, PUBLIC_KEY, first_seq=1))
    assert (caught.value.problem, caught.value.location) == (problem, where)
    assert "\n" not in str(caught.value)


@given(st.data())
def test_no_change_of_a_single_byte_of_a_chain_is_accepted(data: st.DataObject) -> None:
    whole = b"".join(chain(4, body=GAP))
    at = data.draw(st.integers(0, len(whole) - 2))
    byte = data.draw(st.integers(1, 255))
    changed = whole[:at] + bytes([whole[at] ^ byte]) + whole[at + 1 :]
    with pytest.raises(BrokenChain):
        list(verify_chain(changed.split(b"\n")[:-1], BOX, PUBLIC_KEY))


@given(st.permutations(range(5)), st.sets(st.integers(0, 4)))
def test_a_different_order_or_a_gap_is_refused(order: list[int], left_out: set[int]) -> None:
    lines = chain(5)
    chosen = [index for index in order if index not in left_out]
    is_stretch = all(after == before + 1 for before, after in pairwise(chosen))
    picked = [lines[index] for index in chosen]
    if is_stretch:
        assert len(list(verify_chain(picked, BOX, PUBLIC_KEY))) == len(picked)
    else:
        with pytest.raises(BrokenChain):
            list(verify_chain(picked, BOX, PUBLIC_KEY))


@pytest.mark.parametrize("text", ["", "AAAA", PUBLIC_KEY.replace("g=", "h="), "é", "A" * 44])
def test_an_invalid_public_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode_public_key(text)
