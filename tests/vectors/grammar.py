"""Times and numbers that a verifier must not read: one lenient parser of two hides a missing segment.

Each is put, with the box's key, where both verifiers compute with it; importing this module adds the
copies to `tampering.TAMPERINGS`.
"""

from pathlib import Path
from typing import Any

from tests.vectors.tampering import ReceiptList, expects_problem, reexport
from tests.vectors.workbench import NUMBER, Workbench

IMPOSSIBLE_TIMES = {
    "30_february": "2026-02-30T01:00:06.000Z",
    "29_february_of_a_common_year": "2026-02-29T01:00:06.000Z",
    "29_february_of_1900": "1900-02-29T01:00:06.000Z",
    "31_april": "2026-04-31T01:00:06.000Z",
    "day_0": "2026-11-00T01:00:06.000Z",
    "day_32": "2026-12-32T01:00:06.000Z",
    "month_0": "2026-00-25T01:00:06.000Z",
    "month_13": "2026-13-25T01:00:06.000Z",
    "year_0": "0000-11-25T01:00:06.000Z",
    "hour_24": "2026-11-25T24:00:00.000Z",
    "minute_60": "2026-11-25T01:60:06.000Z",
    "second_60": "2026-11-25T01:00:60.000Z",
    "arabic_digits": "٢٠٢٦-11-25T01:00:06.000Z",
    "a_newline": "2026-11-25T01:00:06.000Z\n",
}
POSSIBLE_TIMES = (
    "0001-01-01T00:00:00.000Z",
    "2000-02-29T23:59:59.999Z",
    "2028-02-29T12:00:00.000Z",
    "2026-12-31T23:59:59.999Z",
    "2026-04-30T00:00:00.000Z",
    "9999-12-31T23:59:59.999Z",
)
IMPOSSIBLE_COUNTS = {
    "1e999": NUMBER + "1e999",
    "a_fraction": NUMBER + "4000000000.0",
    "an_exponent": NUMBER + "4e9",
    "2_to_the_63": 2**63,
    "400_digits": 10**400,
}


def hide_segment(name: str, field: str, value: object) -> None:
    """Leave the second segment out; its receipt has an impossible value, so that it is in no span."""

    def tamper(bench: Workbench, _: Path) -> None:
        removed = bench.segments[1]
        removed.unlink()

        def change(receipts: ReceiptList) -> None:
            for receipt in receipts:
                if receipt["body"].get("segment") == removed.name and field in receipt["body"]:
                    receipt["body"][field] = value

        def leave_out(manifest: dict[str, Any]) -> None:
            manifest["segments"].remove(removed.name)
            manifest["clip"]["segments"].remove(removed.name)

        bench.forge_export(bench.box_identity, change, leave_out)

    tamper.__name__ = f"with_the_boxs_key_a_segment_hidden_by_{name}"
    expects_problem("receipt")(tamper)


def state_in_manifest(name: str, field: str, value: object) -> None:
    """Put an impossible value into the manifest, or into its clip."""

    def tamper(bench: Workbench, _: Path) -> None:
        def change(manifest: dict[str, Any]) -> None:
            (manifest if field in manifest else manifest["clip"])[field] = value

        reexport(bench, change)

    tamper.__name__ = f"with_the_boxs_key_a_manifest_with_{name}"
    expects_problem("manifest")(tamper)


for name, text in IMPOSSIBLE_TIMES.items():
    hide_segment(name, "begin_time", text)
for name, number in IMPOSSIBLE_COUNTS.items():
    hide_segment(name, "duration_ns", number)
for name in ("30_february", "hour_24", "second_60"):
    state_in_manifest(name, "end_time", IMPOSSIBLE_TIMES[name])
for name in ("1e999", "an_exponent", "400_digits"):
    state_in_manifest(name, "duration_ns", IMPOSSIBLE_COUNTS[name])


@expects_problem("receipt")
def with_the_boxs_key_an_error_of_the_clock_of_1e999(bench: Workbench, _: Path) -> None:
    def change(receipts: ReceiptList) -> None:
        receipts[2]["clock"]["error_s"] = NUMBER + "1e999"

    bench.resign(bench.box_identity, change)


@expects_problem("receipt")
def with_the_boxs_key_a_receipt_at_hour_24(bench: Workbench, _: Path) -> None:
    def change(receipts: ReceiptList) -> None:
        receipts[2]["time"] = IMPOSSIBLE_TIMES["hour_24"]

    bench.resign(bench.box_identity, change)
