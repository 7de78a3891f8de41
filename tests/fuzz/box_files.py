"""Targets that read files of a box, of its disk and of its exports, and what is typed at its console."""

import shutil
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from agent.base.clock import ClockTrust
from agent.base.errors import UserError
from agent.base.pem import load_authorities, load_box_certificate, load_public_key
from agent.base.signed_manifest import BadManifest, decode_manifest, decode_sums, encode_sums
from agent.base.state_inventory import (
    BadInventory,
    ChainEnd,
    StateInventory,
    parse_inventory,
)
from agent.console.login import parse_challenge
from agent.detection.class_names import read_class_names
from agent.detection.model_card import ModelRefused
from agent.diagnostics.agent_log.journal import decode_entry, select_lines, take_newest
from agent.recording.custody.receipts import (
    AgentStarted,
    BadReceipt,
    FootageGap,
    SegmentOpened,
    ServiceAction,
    UtcText,
    format_line,
    parse_line,
)
from agent.recording.export.head_coverage import (
    LateReceipt,
    ReceiptTimes,
    format_head,
    parse_head,
)
from agent.recording.export.manifest import Manifest
from agent.update.bootloader import decode_autoboot, decode_grubenv, encode_grubenv
from agent.update.request_file import decode_request
from tests.fuzz.target import FuzzTarget, check_one_line, make_work_dir
from tests.parts.test_damaged_state import OWNERS, restore
from tests.pure.test_class_names import with_metadata
from tests.receipt_lines import unsigned_line
from tests.settings_files import to_private_pem

BOX = "pole-17"
TIME = "2026-11-03T07:41:05.250Z"
CLOCK = ClockTrust(synced=True, source="ntp", error_s=0.012)


def run_journal(data: bytes) -> None:
    entries = [entry for line in data.splitlines() if (entry := decode_entry(line)) is not None]
    take_newest(select_lines(reversed(entries), "info"), 1000)


def run_receipt(data: bytes) -> None:
    with suppress(BadReceipt):
        line = parse_line(data)
        assert parse_line(format_line(line.signature, line.json)) == line


def receipt_seeds() -> Sequence[bytes]:
    bodies = (
        AgentStarted(
            public_key="A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=",
            versions={"vigie": "1.0"},
            recipients=(),
        ),
        SegmentOpened(camera="north", segment="1.mp4"),
        FootageGap(camera="north", begin_ns=1, end_ns=2, reason="the disk"),
        ServiceAction(by="amina", action="check 2"),
    )
    return [unsigned_line(body, 1) for body in bodies]


def run_manifest(data: bytes) -> None:
    with suppress(BadManifest):
        decode_manifest("manifest.json", data, Manifest)
    with suppress(BadManifest):
        decode_sums(data)


state_dir = cache(make_work_dir)


def run_state(data: bytes) -> None:
    """The first byte selects the state file; the rest is its content."""
    name = list(OWNERS)[(data[0] if data else 0) % len(OWNERS)]
    folder, owner = state_dir() / name, OWNERS[name]
    folder.mkdir(exist_ok=True)
    path = owner.write(folder)
    restore(folder, path, data[1:])
    with suppress(*owner.errors):
        owner.read(folder)
    shutil.rmtree(folder)


def state_seeds() -> Sequence[bytes]:
    seeds = []
    for index, (name, owner) in enumerate(OWNERS.items()):
        folder = state_dir() / f"seed-{name}"
        folder.mkdir()
        seeds.append(bytes([index]) + owner.write(folder).read_bytes())
    return seeds


def run_certificate(data: bytes) -> None:
    loads: tuple[Callable[[], object], ...] = (
        lambda: load_authorities(data, "ca.pem"),
        lambda: load_box_certificate(data, BOX, "box.crt"),
        lambda: load_public_key(data, "box.key"),
    )
    for load in loads:
        try:
            load()
        except UserError as error:
            check_one_line(error)


def run_update_request(data: bytes) -> None:
    with suppress(UserError):
        decode_request(data)


def run_boot_selection(data: bytes) -> None:
    with suppress(ValueError):
        decode_grubenv(data)
    with suppress(ValueError):
        decode_autoboot(data)


def run_challenge(data: bytes) -> None:
    with suppress(UserError):
        parse_challenge(data.decode("utf-8", "replace"))


def run_model_metadata(data: bytes) -> None:
    try:
        read_class_names("own", data)
    except ModelRefused as error:
        check_one_line(error)


def model_metadata_seeds() -> Sequence[bytes]:
    return [
        with_metadata(("labels.txt", b"car\nbus\n"), ("more", b"person"), compression=compression)[
            -400:
        ]
        for compression in (
            zipfile.ZIP_STORED,
            zipfile.ZIP_DEFLATED,
            zipfile.ZIP_BZIP2,
            zipfile.ZIP_LZMA,
        )
    ]


def run_inventory(data: bytes) -> None:
    with suppress(BadInventory):
        listed = parse_inventory(data)
        assert parse_inventory(data[: listed.valid_bytes]) == listed


def inventory_seeds() -> Sequence[bytes]:
    folder = state_dir() / "inventory"
    folder.mkdir()
    path = OWNERS["state inventory"].write(folder)
    lines = path.read_bytes()
    end = ChainEnd(seq=7, sha256="0" * 64, time=TIME, boot="first", t_ns=10)
    StateInventory(folder).list_chain_end(folder / "custody", end)
    return [lines, path.read_bytes()]


def run_known_heads(data: bytes) -> None:
    """The first line is a head, each other one the time of a receipt from number 1 on."""
    line, *claimed = data.decode("latin-1").split("\n")
    try:
        head = parse_head(line)
    except ValueError as error:
        check_one_line(error)
        return
    assert parse_head(format_head(head)) == head
    times = ReceiptTimes(1)
    for text in claimed:
        with suppress(msgspec.ValidationError):
            times.add(msgspec.convert(text, UtcText), CLOCK)
    with suppress(LateReceipt):
        times.cover([head])


TARGETS = {
    "model_metadata": FuzzTarget(run_model_metadata, model_metadata_seeds),
    "inventory": FuzzTarget(run_inventory, inventory_seeds),
    "known_heads": FuzzTarget(
        run_known_heads,
        lambda: [
            f"1:{'0' * 64} {TIME}\n{TIME}\n{TIME}".encode(),
            f"2:{'0' * 64}\n{TIME}".encode(),
        ],
    ),
    "journal": FuzzTarget(
        run_journal,
        lambda: [
            (
                b'{"__REALTIME_TIMESTAMP":"1764028800000000","MESSAGE":"INFO connected"}\n'
                b'{"__REALTIME_TIMESTAMP":"1764028801000000","MESSAGE":[255,7],"PRIORITY":"3"}'
            )
        ],
    ),
    "receipt": FuzzTarget(run_receipt, receipt_seeds),
    "manifest": FuzzTarget(run_manifest, lambda: [encode_sums({"a/b": "0" * 64}), b"{}"]),
    "state": FuzzTarget(run_state, state_seeds),
    "certificate": FuzzTarget(
        run_certificate,
        lambda: [to_private_pem(ec.derive_private_key(5, ec.SECP256R1())).encode()],
    ),
    "update_request": FuzzTarget(
        run_update_request, lambda: [b'{"id":"00","action":"install","requester":"amina"}']
    ),
    "boot_selection": FuzzTarget(
        run_boot_selection,
        lambda: [
            encode_grubenv({"ORDER": "A B", "A_OK": "1"}),
            b"[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=3\n",
        ],
    ),
    "challenge": FuzzTarget(run_challenge, lambda: [b"casa-0001 amina 2345-6789"]),
}
