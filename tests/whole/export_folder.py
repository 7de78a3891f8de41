"""A small export folder as a box makes it, and a tampered one."""

import base64
import hashlib
from collections.abc import Iterable
from pathlib import Path

import msgspec

from agent.base.device_identity import DeviceIdentity
from agent.base.signed_manifest import SUMS_FILE
from agent.recording.custody.custody_log import CustodyLog
from agent.recording.custody.receipts import (
    AgentStarted,
    FootageExported,
    FootageGap,
    ReceiptBody,
    SegmentClosed,
    SegmentOpened,
)
from agent.recording.export.manifest import (
    CHAIN_FILE,
    CLIP_FILE,
    MANIFEST_FILE,
    SEGMENTS_DIR,
    ExportedChainHead,
    ExportedClip,
    ExportedFile,
    Manifest,
)
from tests.conftest import ManualClock
from tests.receipt_lines import closed_segment

BOX = "pole-17"
BOOT = "c0ffee00-0000-4000-8000-000000000000"
SECOND_NS = 1_000_000_000
BEGIN, END = "2026-11-25T00:00:05.000Z", "2026-11-25T00:00:25.000Z"
SEGMENT_NAMES = ("one.mp4", "two.mp4", "three.mp4")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def public_key(identity: DeviceIdentity) -> str:
    return base64.b64encode(identity.public_key_raw).decode()


def make_started(identity: DeviceIdentity) -> AgentStarted:
    return AgentStarted(public_key=public_key(identity), versions={"vigie": "0.1.0"}, recipients=())


def make_closed(name: str, data: bytes, begin_s: int, camera: str = "north") -> SegmentClosed:
    return closed_segment(
        name,
        camera=camera,
        sha256=sha256(data),
        size_bytes=len(data),
        begin_ns=begin_s * SECOND_NS,
        begin_time=f"2026-11-25T00:00:{begin_s:02d}.000Z",
        model="ssdlite_mobilenet_v2",
        config="c1",
    )


def segment_bytes(name: str) -> bytes:
    return f"the pictures of {name}".encode() * 3


class ExportBuilder:
    """Makes exports of one box, each from a chain of its own.

    `bodies` go into the chain before the receipt of the export; `change` replaces fields of the
    manifest by false ones.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.identity = DeviceIdentity.load_or_create(folder / "identity")

    def make_bodies(self) -> list[ReceiptBody]:
        bodies: list[ReceiptBody] = [make_started(self.identity)]
        for index, name in enumerate(SEGMENT_NAMES):
            bodies.append(SegmentOpened(camera="north", segment=name))
            bodies.append(make_closed(name, segment_bytes(name), index * 10))
            bodies.append(make_closed(f"south {name}", b"another camera's", index * 10, "south"))
        bodies.append(FootageGap(camera="north", begin_ns=0, end_ns=1, reason="the disk"))
        return bodies

    def build(
        self,
        name: str = "export",
        bodies: Iterable[ReceiptBody] | None = None,
        bodies_after: Iterable[ReceiptBody] = (),
        **manifest_changes: object,
    ) -> Path:
        clock = ManualClock()
        folder = self._folder / name
        custody = CustodyLog.open(folder.with_suffix(".custody"), BOX, BOOT, clock, self.identity)
        for body in self.make_bodies() if bodies is None else bodies:
            clock.advance_s(1)
            custody.append(body, clock.now_ns)
        files = {f"{SEGMENTS_DIR}/{segment}": segment_bytes(segment) for segment in SEGMENT_NAMES}
        files[CLIP_FILE] = b"a clip"
        for path, data in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
        head = custody.head()
        manifest = Manifest(
            box=BOX,
            camera="north",
            begin_time=BEGIN,
            end_time=END,
            by="A. Alami",
            purpose="case 2026/114",
            created_time="2026-11-25T00:01:00.000Z",
            software="0.1.0",
            public_key=public_key(self.identity),
            first_seq=1,
            head=ExportedChainHead(seq=head.seq, sha256=head.sha256),
            segments=SEGMENT_NAMES,
            withheld=(),
            clip=ExportedClip(
                begin_time=BEGIN, duration_ns=20 * SECOND_NS, segments=SEGMENT_NAMES, masked=False
            ),
            files=tuple(
                ExportedFile(path=path, sha256=sha256(data), size_bytes=len(data))
                for path, data in sorted(files.items())
            ),
        )
        manifest = msgspec.structs.replace(manifest, **manifest_changes)
        text = msgspec.json.encode(manifest)
        (folder / MANIFEST_FILE).write_bytes(text)
        exported = FootageExported(
            camera=manifest.camera,
            begin_time=manifest.begin_time,
            end_time=manifest.end_time,
            by=manifest.by,
            purpose=manifest.purpose,
            segments=manifest.segments,
            sha256=sha256(text),
        )
        for body in (exported, *bodies_after):
            custody.append(body, clock.now_ns)
        (folder / CHAIN_FILE).write_bytes(b"".join(custody.read_lines()))
        write_sums(folder)
        return folder


def write_sums(folder: Path) -> None:
    """Write SHA256SUMS again, as a forger who changes a file would."""
    paths = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.name != SUMS_FILE
    )
    lines = [f"{sha256((folder / path).read_bytes())}  {path}\n" for path in paths]
    (folder / SUMS_FILE).write_text("".join(lines))
