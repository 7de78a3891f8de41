"""The chain of receipts: each names the hash of the one before. Pure.

A chain that was cut in the middle, put in another order, mixed with another box's or changed
anywhere does not link any more. One that was cut at its end still links: that shows against a
head that went out before, see `verify_head`.
"""

from collections.abc import Iterable, Iterator

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agent.record.receipts import FIRST_PREV, BadReceipt, Line, Receipt, read_line


class BrokenChain(ValueError):
    """Where a chain does not hold, and why, in one line."""


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The newest receipt of a chain: its number, hash and time."""

    seq: int
    sha256: str
    time: str


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """What the next receipt has to follow."""

    seq: int
    sha256: str
    time: str
    boot: str
    t_ns: int

    @property
    def head(self) -> Head:
        """The part of it that is told to others."""
        return Head(seq=self.seq, sha256=self.sha256, time=self.time)


BEGINNING = Place(seq=0, sha256=FIRST_PREV, time="", boot="", t_ns=0)
"""Of an empty chain."""


def place(line: Line) -> Place:
    """What the receipt after `line` has to follow."""
    receipt = line.receipt
    return Place(
        seq=receipt.seq,
        sha256=line.sha256,
        time=receipt.time,
        boot=receipt.boot,
        t_ns=receipt.t_ns,
    )


def check_link(before: Place, receipt: Receipt) -> None:
    """Raise BrokenChain where `receipt` is not the one after `before`."""
    if receipt.seq != before.seq + 1:
        raise BrokenChain(f"receipt {receipt.seq} stands after receipt {before.seq}")
    if receipt.prev != before.sha256:
        raise BrokenChain(
            f"receipt {receipt.seq} does not follow receipt {before.seq}: it names another hash"
        )
    if receipt.boot == before.boot and receipt.t_ns < before.t_ns:
        raise BrokenChain(f"receipt {receipt.seq}: its time goes back within one boot")


def is_signed(line: Line, public_key: Ed25519PublicKey) -> bool:
    """Whether the signature is of this key over the JSON bytes."""
    try:
        public_key.verify(line.signature, line.json)
    except InvalidSignature:
        return False
    return True


def check(lines: Iterable[bytes], box: str, public_key: Ed25519PublicKey) -> Iterator[Line]:
    """The lines of a stretch of a chain, each checked before it is given.

    All must be of one box and key, linked without a hole, and no boot may come back after
    another. The first line may have any number; number 1 follows nothing. Raises BrokenChain at
    the first that does not hold.
    """
    before: Place | None = None
    boots: set[str] = set()
    for index, text in enumerate(lines, start=1):
        where = f"receipt {before.seq + 1}" if before else "the first receipt"
        try:
            line = read_line(text)
        except BadReceipt as error:
            raise BrokenChain(f"{where} (line {index}): {error}") from error
        receipt = line.receipt
        if not is_signed(line, public_key):
            raise BrokenChain(f"{where} (line {index}): the signature is not this box's")
        if receipt.box != box:
            raise BrokenChain(f"{where}: of box {receipt.box!r}, not of {box!r}")
        if before is not None:
            check_link(before, receipt)
        elif receipt.seq == 1:
            check_link(BEGINNING, receipt)
        if before is None or receipt.boot != before.boot:
            if receipt.boot in boots:
                raise BrokenChain(f"{where}: boot {receipt.boot} comes back after another")
            boots.add(receipt.boot)
        before = place(line)
        yield line


def verify_head(chain: Iterable[Line], head: Head) -> str | None:
    """Whether a chain holds a head that went out before: None, or what is wrong, in one line.

    `chain` has been checked, see `check`. A box whose chain was rewound, or written anew after its
    head had gone out over MQTT, cannot show that head again.
    """
    first = last = 0
    for line in chain:
        seq = line.receipt.seq
        first = first or seq
        last = seq
        if seq == head.seq:
            if line.sha256 == head.sha256:
                return None
            return f"receipt {seq} is not the one whose hash was published at {head.time}"
    if not last:
        return "there is no receipt at all"
    if head.seq < first:
        return f"the chain begins at receipt {first}, after the published receipt {head.seq}"
    return (
        f"the chain ends at receipt {last}: it was rewound, "
        f"receipt {head.seq} was published at {head.time}"
    )
