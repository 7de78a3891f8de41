"""Mounted USB disks, and the export of footage to one."""

import os
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from agent.base.message import Message, message_of
from agent.console.errors import ConsoleError
from agent.console.terminal import Terminal
from agent.console.text_format import format_bytes
from agent.recording.archive import FootageArchive
from agent.recording.export.export_request import ExportRequest
from agent.recording.export.exporter import ExportError
from agent.update.usb_bundle import MOUNT_ROOTS

_OCTAL_ESCAPE = re.compile(r"\\([0-7]{3})")


def list_usb_mounts(root: Path) -> tuple[Path, ...]:
    """Return the writable mounts of USB disks, each once.

    In the sandbox of the console's unit a mount is listed twice: /run/media is there a second time, to be written.
    """
    try:
        mounts = (root / "proc/self/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ()
    found = []
    for line in mounts.splitlines():
        fields = line.split()
        if len(fields) > 1 and fields[0].startswith("/dev/"):
            mount = _OCTAL_ESCAPE.sub(lambda match: chr(int(match[1], 8)), fields[1])
            path = root / mount.lstrip("/")
            if any(mount.startswith(f"{folder}/") for folder in MOUNT_ROOTS) and os.access(
                path, os.W_OK
            ):
                found.append(path)
    return tuple(dict.fromkeys(found))


def choose_usb_disk(terminal: Terminal, root: Path) -> Path:
    """Return the USB disk, or the one that the technician chooses. Raises ConsoleError."""
    usb_disks = list_usb_mounts(root)
    if not usb_disks:
        raise ConsoleError(
            Message(
                "no USB disk that can be written: plug one in (FAT or exFAT), wait ten seconds, try again"
            )
        )
    return usb_disks[terminal.choose([str(path) for path in usb_disks])]


def export_footage(
    archive: FootageArchive,
    span: tuple[str, datetime, datetime],
    by: str,
    reason: str,
    destination: Path,
    progress: Callable[[str], None],
) -> list[Message]:
    """Export a span to a new folder on a disk, flush it, and return a report. Raises ConsoleError."""
    camera, begin, end = span
    name = f"vigie-{camera}-{begin:%Y%m%dT%H%M%SZ}"
    export_dir = destination / name
    number = 1
    while export_dir.exists():
        number += 1
        export_dir = destination / f"{name}-{number}"
    request = ExportRequest(
        camera=camera, begin=begin, end=end, by=by, purpose=reason, out=export_dir, unmasked=False
    )
    try:
        result = archive.export(
            request, None, lambda done, total: progress(f"{done * 100 // max(1, total)} %")
        )
    except ExportError as error:
        raise ConsoleError(message_of(error)) from error
    os.sync()
    clip = (
        Message("no clip: {reason}", reason=str(result.no_clip_reason))
        if result.clip is None
        else Message("with clip.mp4")
    )
    return [
        Message(
            "{folder}: {count} segments, {size}, {clip}.",
            folder=str(export_dir),
            count=len(result.segments),
            size=format_bytes(result.size_bytes),
            clip=clip,
        ),
        *(
            Message("  left out: {name}: {reason}", name=name, reason=reason)
            for name, reason in result.excluded.items()
        ),
        Message(
            "In the custody log as receipt {seq}. Open verify.html to check it.",
            seq=result.receipt.seq,
        ),
        Message("The disk may be unplugged now."),
    ]
