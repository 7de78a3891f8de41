"""USB disks that are mounted, and what is taken out of the box on them."""

import os
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from agent.console.errors import ConsoleError
from agent.console.format import format_bytes
from agent.console.results import FootageSpan, HoldInfo, ProgressCallback
from agent.recording.archive import FootageArchive, merge_segments
from agent.recording.export.export_request import ExportRequest
from agent.recording.export.exporter import ExportError

MOUNTS_FILE = Path("/proc/self/mounts")
_MOUNT_PREFIXES = ("/media/", "/run/media/", "/mnt/")
_OCTAL_ESCAPE = re.compile(r"\\([0-7]{3})")


def list_usb_mounts(
    mounts_file: Path = MOUNTS_FILE, prefixes: Sequence[str] = _MOUNT_PREFIXES
) -> tuple[Path, ...]:
    """Where disks are mounted that a person has plugged in, and that can be written."""
    try:
        lines = mounts_file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ()
    found = []
    for line in lines:
        fields = line.split()
        if len(fields) > 1 and fields[0].startswith("/dev/"):
            path = _OCTAL_ESCAPE.sub(lambda match: chr(int(match[1], 8)), fields[1])
            if path.startswith(tuple(prefixes)) and os.access(path, os.W_OK):
                found.append(Path(path))
    return tuple(found)


def list_footage(archive: FootageArchive, camera: str | None) -> tuple[FootageSpan, ...]:
    """What lies on the disk."""
    return tuple(
        FootageSpan(
            camera=span.camera,
            begin=span.begin,
            end=span.end,
            size_bytes=span.size_bytes,
            remarks=("sealed" if span.sealed else "plain")
            + ("" if span.clock_synced else ", clock not sure"),
        )
        for span in merge_segments(archive.find_segments(camera, None, None))
    )


def list_holds(archive: FootageArchive) -> tuple[HoldInfo, ...]:
    """What is held."""
    return tuple(
        HoldInfo(
            id=hold.id,
            camera=hold.camera,
            begin_time=hold.begin_time,
            end_time=hold.end_time,
            owner=hold.owner,
            expires=hold.expires,
        )
        for hold in archive.list_holds()
    )


def export_footage(
    archive: FootageArchive,
    span: tuple[str, datetime, datetime],
    by: str,
    reason: str,
    destination: Path,
    progress: ProgressCallback,
) -> list[str]:
    """Export a span into a new folder on a disk, synced; what to tell of it. Raises ConsoleError."""
    camera, begin, end = span
    export_dir = destination / f"vigie-{camera}-{begin:%Y%m%dT%H%M%SZ}"
    number = 1
    while export_dir.exists():
        number += 1
        export_dir = destination / f"vigie-{camera}-{begin:%Y%m%dT%H%M%SZ}-{number}"
    export_request = ExportRequest(
        camera=camera, begin=begin, end=end, by=by, purpose=reason, out=export_dir, unmasked=False
    )
    try:
        result = archive.export(
            export_request, None, lambda done, total: progress(f"{done * 100 // max(1, total)} %")
        )
    except ExportError as error:
        raise ConsoleError(str(error)) from error
    os.sync()
    clip_note = "no clip: " + str(result.no_clip_reason) if result.clip is None else "with clip.mp4"
    return [
        f"{export_dir}: {len(result.segments)} segments, {format_bytes(result.size_bytes)}, {clip_note}.",
        *(f"  left out: {name}: {cause}" for name, cause in result.excluded.items()),
        f"In the chain as receipt {result.receipt.seq}. Open verify.html to check it.",
        "The disk may be pulled out now.",
    ]
