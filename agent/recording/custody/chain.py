"""The chain of receipts: each names the hash of the one before. Pure.

A chain that was cut in the middle, put in another order, mixed with another box's or changed
anywhere does not link any more. One that was cut at its end still links: that shows against a
head that went out before, see `agent.recording.export.verify`.
"""

import base64
from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agent.recording.custody.receipts import (
    FIRST_PREV,
    BadReceipt,
    Receipt,
    ReceiptLine,
    Started,
    read_line,
)

Problem = Literal["receipt", "box", "signature", "order", "link", "time", "key"]
"""The class of what is wrong with a line, in the order in which it is looked for:

receipt: it is none. box: it is of another box. signature: the key did not sign these bytes.
order: its number is not one more than the one before. link: its `prev` is not the hash of the one
before. time: its `t_ns` is less than before in the same boot, or a boot comes back after another.
key: it says that the agent started with another key.
"""


class BrokenChain(ValueError):
    """The first line at which a chain does not hold: what is wrong, where, and why in one line."""

    def __init__(self, problem: Problem, where: str, why: str) -> None:
        super().__init__(f"{where}: {why}")
        self.problem = problem
        self.where = where
        self.why = why


class ChainHead(msgspec.Struct, frozen=True, kw_only=True):
    """The newest receipt of a chain: its number, hash and time."""

    seq: int
    sha256: str
    time: str


class ChainPosition(msgspec.Struct, frozen=True, kw_only=True):
    """What the next receipt has to follow."""

    seq: int
    sha256: str
    time: str
    boot: str
    t_ns: int

    @property
    def head(self) -> ChainHead:
        """The part of it that is told to others."""
        return ChainHead(seq=self.seq, sha256=self.sha256, time=self.time)


BEGINNING = ChainPosition(seq=0, sha256=FIRST_PREV, time="", boot="", t_ns=0)
"""Of an empty chain."""


def place(line: ReceiptLine) -> ChainPosition:
    """What the receipt after `line` has to follow."""
    receipt = line.receipt
    return ChainPosition(
        seq=receipt.seq,
        sha256=line.sha256,
        time=receipt.time,
        boot=receipt.boot,
        t_ns=receipt.t_ns,
    )


def broken_link(before: ChainPosition, receipt: Receipt) -> tuple[Problem, str] | None:
    """Why `receipt` is not the one after `before`; None where it is."""
    if receipt.seq != before.seq + 1:
        return "order", f"it stands after receipt {before.seq}"
    if receipt.prev != before.sha256:
        return "link", f"it does not name the hash of receipt {before.seq}"
    if receipt.boot == before.boot and receipt.t_ns < before.t_ns:
        return "time", "its time goes back within one boot"
    return None


def is_signed(line: ReceiptLine, public_key: Ed25519PublicKey) -> bool:
    """Whether the signature is of this key over the JSON bytes."""
    try:
        public_key.verify(line.signature, line.json)
    except InvalidSignature:
        return False
    return True


def read_public_key(text: str) -> Ed25519PublicKey:
    """The key whose raw 32 bytes are given in base64. Raises ValueError."""
    raw = base64.b64decode(text, validate=True)
    if base64.b64encode(raw).decode() != text:
        raise ValueError("not the one way to write these bytes in base64")
    return Ed25519PublicKey.from_public_bytes(raw)


def check(
    lines: Iterable[bytes], box: str, public_key: str, first_seq: int | None = None
) -> Iterator[ReceiptLine]:
    """The lines of a stretch of a chain, each checked before it is given.

    All must be of one box and of one key (the base64 of its raw 32 bytes), and linked without a
    hole. The first has the number `first_seq`, or any; number 1 follows nothing. Linear in time, and
    in constant memory but for the names of the boots. Raises BrokenChain at the first line that
    does not hold, and ValueError for a key that is none.
    """
    key = read_public_key(public_key)
    before: ChainPosition | None = None
    boots: set[str] = set()
    for number, text in enumerate(lines, start=1):
        where = f"line {number}"
        try:
            line = read_line(text)
        except BadReceipt as error:
            raise BrokenChain("receipt", where, str(error)) from error
        where = f"{where} (seq {line.receipt.seq})"
        problem = _not_signed(line, box, key)
        problem = problem or _broken_order(line.receipt, first_seq, before, boots)
        problem = problem or _other_key(line.receipt, public_key)
        if problem is not None:
            raise BrokenChain(problem[0], where, problem[1])
        boots.add(line.receipt.boot)
        before = place(line)
        yield line


def _not_signed(line: ReceiptLine, box: str, key: Ed25519PublicKey) -> tuple[Problem, str] | None:
    if line.receipt.box != box:
        return "box", f"it is of box {line.receipt.box!r}, not of {box!r}"
    if not is_signed(line, key):
        return "signature", "the key did not sign these bytes"
    return None


def _broken_order(
    receipt: Receipt, first_seq: int | None, before: ChainPosition | None, boots: set[str]
) -> tuple[Problem, str] | None:
    if before is None and receipt.seq != (first_seq or receipt.seq):
        return "order", f"it stands where receipt {first_seq} should"
    if before is not None or receipt.seq == 1:
        broken = broken_link(before or BEGINNING, receipt)
        if broken is not None:
            return broken
    if (before is None or receipt.boot != before.boot) and receipt.boot in boots:
        return "time", f"boot {receipt.boot} comes back after another"
    return None


def _other_key(receipt: Receipt, public_key: str) -> tuple[Problem, str] | None:
    if isinstance(receipt.body, Started) and receipt.body.public_key != public_key:
        return "key", "it says that the agent started with another key"
    return None
