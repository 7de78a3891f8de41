"""Exports that a thief of the box's key signs well, and that the centre's heads reveal.

Without heads that cover them these copies are consistent: `UNCOVERED` has the number of the first receipt that differs. Importing
this module adds them to `tampering.TAMPERINGS`.
"""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from agent.base.clock import rfc3339, unix_ms
from tests.vectors.tampering import KnownHeads, ReceiptList, expects_problem
from tests.vectors.workbench import Workbench

DELIVERY = timedelta(seconds=1)
AHEAD, BEHIND = timedelta(hours=1), timedelta(hours=-1)
UNCOVERED = {
    "with_the_boxs_key_all_times_shifted": 6,
    "with_the_boxs_key_a_duration_altered": 7,
    "with_the_boxs_key_an_eviction_invented": 16,
}


def arrival_ms(time: str) -> int:
    """When the centre receives the head at a receipt of this time."""
    return unix_ms(datetime.fromisoformat(time) + DELIVERY)


def all_heads(_: Workbench, heads: KnownHeads) -> KnownHeads:
    return heads


def own_heads(bench: Workbench, shift: timedelta) -> KnownHeads:
    """The heads of a thief who is in the box's place from the begin, at the times at which the box would have sent them."""
    return bench.heads(lambda time: arrival_ms(shifted(time, -shift)))


def shifted(time: str, by: timedelta) -> str:
    return rfc3339(datetime.fromisoformat(time) + by)


def shift_times(bench: Workbench, by: timedelta) -> None:
    def change(receipts: ReceiptList) -> None:
        for receipt in receipts:
            receipt["time"] = shifted(receipt["time"], by)

    bench.forge_export(bench.box_identity, change)


@expects_problem("head", all_heads)
def with_the_boxs_key_all_times_shifted(bench: Workbench, _: Path) -> None:
    shift_times(bench, timedelta(minutes=30))


@expects_problem("arrival", lambda bench, _: own_heads(bench, AHEAD))
def with_the_boxs_key_and_connection_times_ahead(bench: Workbench, _: Path) -> None:
    shift_times(bench, AHEAD)
    bench.rewrite_manifest(
        lambda manifest: manifest.update(created_time="2026-11-25T02:00:18.000Z")
    )
    bench.resign(bench.box_identity)


@expects_problem("head", all_heads)
def with_the_boxs_key_an_eviction_invented(bench: Workbench, _: Path) -> None:
    removed = bench.segments[1]
    removed.unlink()
    evicted = {
        "kind": "evicted",
        "camera": "north",
        "segments": [removed.name],
        "reason": "age",
        "oldest_time": None,
    }
    attested = bench.index("attested", -1)

    def leave_out(manifest: dict[str, Any]) -> None:
        manifest["segments"].remove(removed.name)
        manifest["clip"]["segments"].remove(removed.name)
        manifest["clip"]["duration_ns"] = 4_000_000_000

    bench.forge_export(
        bench.box_identity, lambda receipts: receipts[attested].update(body=evicted), leave_out
    )


@expects_problem("head", all_heads)
def with_the_boxs_key_a_duration_altered(bench: Workbench, _: Path) -> None:
    """The first segment ends before the span, so that it is not missing."""
    removed, kept = bench.segments
    removed.unlink()

    def shorten(receipts: ReceiptList) -> None:
        for receipt in receipts:
            body = receipt["body"]
            if body["kind"] == "closed" and body["segment"] == removed.name:
                body["duration_ns"] = 1_000_000_000

    def leave_out(manifest: dict[str, Any]) -> None:
        manifest["segments"].remove(removed.name)
        manifest["clip"].update(
            segments=[kept.name], begin_time="2026-11-25T01:00:11.900Z", duration_ns=4_000_000_000
        )

    bench.forge_export(bench.box_identity, shorten, leave_out)
