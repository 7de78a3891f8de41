"""Hash chain of receipts: each has the hash of the one before. Pure.

A chain that was cut in the middle, reordered, mixed with another box's or altered does not link. One
that was truncated at its end still links: that shows against a head published earlier, see
`agent.recording.export.verify`.
"""

from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agent.base.signed_manifest import decode_public_key
from agent.recording.custody.receipts import (
    GENESIS_SHA256,
    AgentStarted,
    BadReceipt,
    Receipt,
    ReceiptLine,
    parse_line,
)

ChainProblemKind = Literal["receipt", "box", "signature", "order", "link", "time", "key"]
"""Kinds of problems of a line, in the order of the checks:

receipt: it is not a receipt. box: it is of another box. signature: the key did not sign these bytes.
order: its number is not one more than the one before. link: its `prev_sha256` is not the hash of the
one before. time: its `t_ns` is less than before in the same boot, or a boot returns after another.
key: it states that the agent started with another key.
"""


class BrokenChain(ValueError):
    """The first invalid line of a chain: kind of problem, location and reason."""

    def __init__(self, problem: ChainProblemKind, location: str, reason: str) -> None:
        super().__init__(f"{location}: {reason}")
        self.problem = problem
        self.location = location
        self.reason = reason


class ChainHead(msgspec.Struct, frozen=True, kw_only=True):
    """Newest receipt of a chain: its number, hash and time."""

    seq: int
    sha256: str
    time: str


class ChainPosition(msgspec.Struct, frozen=True, kw_only=True):
    """Position in a chain: the fields of a receipt that the next one must match."""

    seq: int
    sha256: str
    time: str
    boot: str
    t_ns: int

    @property
    def head(self) -> ChainHead:
        """The part that is published."""
        return ChainHead(seq=self.seq, sha256=self.sha256, time=self.time)


EMPTY_CHAIN = ChainPosition(seq=0, sha256=GENESIS_SHA256, time="", boot="", t_ns=0)
"""The position in an empty chain."""


def position_after(line: ReceiptLine) -> ChainPosition:
    """Return the position after `line`."""
    receipt = line.receipt
    return ChainPosition(
        seq=receipt.seq,
        sha256=line.sha256,
        time=receipt.time,
        boot=receipt.boot,
        t_ns=receipt.t_ns,
    )


def find_link_problem(
    previous: ChainPosition, receipt: Receipt
) -> tuple[ChainProblemKind, str] | None:
    """Return the problem if `receipt` does not follow `previous`, or None."""
    if receipt.seq != previous.seq + 1:
        return "order", f"it follows receipt {previous.seq}"
    if receipt.prev_sha256 != previous.sha256:
        return "link", f"its prev_sha256 is not the hash of receipt {previous.seq}"
    if receipt.boot == previous.boot and receipt.t_ns < previous.t_ns:
        return "time", "its time goes back within one boot"
    return None


def is_signed_by(line: ReceiptLine, public_key: Ed25519PublicKey) -> bool:
    """Return True if this key signed the JSON bytes."""
    try:
        public_key.verify(line.signature, line.json)
    except InvalidSignature:
        return False
    return True


def verify_chain(
    lines: Iterable[bytes], box: str, public_key: str, first_seq: int | None = None
) -> Iterator[ReceiptLine]:
    """Verify a section of a chain and yield its lines, each after its check.

    All must be of one box and one key (base64 of its 32 bytes), and linked without a gap. The first
    number is `first_seq`, or any. Linear time; memory is constant except for the boot ids. Raises:
    BrokenChain at the first invalid line; ValueError if the key is invalid.
    """
    key = decode_public_key(public_key)
    previous: ChainPosition | None = None
    boots: set[str] = set()
    for number, data in enumerate(lines, start=1):
        location = f"line {number}"
        try:
            line = parse_line(data)
        except BadReceipt as error:
            raise BrokenChain("receipt", location, str(error)) from error
        location = f"{location} (seq {line.receipt.seq})"
        problem = _find_signature_problem(line, box, key)
        problem = problem or _find_order_problem(line.receipt, first_seq, previous, boots)
        problem = problem or _find_key_problem(line.receipt, public_key)
        if problem is not None:
            raise BrokenChain(problem[0], location, problem[1])
        boots.add(line.receipt.boot)
        previous = position_after(line)
        yield line


def _find_signature_problem(
    line: ReceiptLine, box: str, key: Ed25519PublicKey
) -> tuple[ChainProblemKind, str] | None:
    if line.receipt.box != box:
        return "box", f"it is of box {line.receipt.box!r}, not of {box!r}"
    if not is_signed_by(line, key):
        return "signature", "the key did not sign these bytes"
    return None


def _find_order_problem(
    receipt: Receipt, first_seq: int | None, previous: ChainPosition | None, boots: set[str]
) -> tuple[ChainProblemKind, str] | None:
    if previous is None and receipt.seq != (first_seq or receipt.seq):
        return "order", f"receipt {first_seq} is expected here"
    if previous is not None or receipt.seq == 1:
        problem = find_link_problem(previous or EMPTY_CHAIN, receipt)
        if problem is not None:
            return problem
    if (previous is None or receipt.boot != previous.boot) and receipt.boot in boots:
        return "time", f"boot {receipt.boot} returns after another"
    return None


def _find_key_problem(receipt: Receipt, public_key: str) -> tuple[ChainProblemKind, str] | None:
    if isinstance(receipt.body, AgentStarted) and receipt.body.public_key != public_key:
        return "key", "it states that the agent started with another key"
    return None
