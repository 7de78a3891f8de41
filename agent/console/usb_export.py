"""USB disks that are mounted, and what is taken out of the box on them."""

import os
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from agent.console.format import bytes_told
from agent.console.results import ConsoleError, FootageSpan, HoldInfo, Progress
from agent.recording.archive import FootageArchive, stretches
from agent.recording.export.exporter import CannotExport
from agent.recording.export.html_pages import ExportPageText

MOUNTS = Path("/proc/self/mounts")
_PLACES = ("/media/", "/run/media/", "/mnt/")
_ESCAPE = re.compile(r"\\([0-7]{3})")


def sticks(mounts: Path = MOUNTS, places: Sequence[str] = _PLACES) -> tuple[Path, ...]:
    """Where disks are mounted that a person has plugged in, and that can be written."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ()
    found = []
    for line in lines:
        words = line.split()
        if len(words) > 1 and words[0].startswith("/dev/"):
            path = _ESCAPE.sub(lambda match: chr(int(match[1], 8)), words[1])
            if path.startswith(tuple(places)) and os.access(path, os.W_OK):
                found.append(Path(path))
    return tuple(found)


def stretches_told(footage: FootageArchive, camera: str | None) -> tuple[FootageSpan, ...]:
    """What lies on the disk."""
    return tuple(
        FootageSpan(
            camera=one.camera,
            begin=one.begin,
            end=one.end,
            size_bytes=one.size_bytes,
            remarks=("sealed" if one.sealed else "plain")
            + ("" if one.clock_synced else ", clock not sure"),
        )
        for one in stretches(footage.find(camera, None, None))
    )


def holds_told(footage: FootageArchive) -> tuple[HoldInfo, ...]:
    """What is held."""
    return tuple(
        HoldInfo(
            id=one.id,
            camera=one.camera,
            begin_time=one.begin_time,
            end_time=one.end_time,
            owner=one.owner,
            expires=one.expires,
        )
        for one in footage.holds()
    )


def export(
    footage: FootageArchive,
    span: tuple[str, datetime, datetime],
    by: str,
    why: str,
    to: Path,
    progress: Progress,
) -> list[str]:
    """Export a span into a new folder on a disk, synced; what to tell of it. Raises CannotDo."""
    camera, begin, end = span
    out = to / f"vigie-{camera}-{begin:%Y%m%dT%H%M%SZ}"
    number = 1
    while out.exists():
        number += 1
        out = to / f"vigie-{camera}-{begin:%Y%m%dT%H%M%SZ}-{number}"
    wish = ExportPageText(
        camera=camera, begin=begin, end=end, by=by, purpose=why, out=out, unmasked=False
    )
    try:
        made = footage.export(
            wish, None, lambda done, total: progress(f"{done * 100 // max(1, total)} %")
        )
    except CannotExport as error:
        raise ConsoleError(str(error)) from error
    os.sync()
    clip = "no clip: " + str(made.no_clip) if made.clip is None else "with clip.mp4"
    return [
        f"{out}: {len(made.segments)} segments, {bytes_told(made.size_bytes)}, {clip}.",
        *(f"  left out: {name}: {reason}" for name, reason in made.left_out.items()),
        f"In the chain as receipt {made.receipt.seq}. Open verify.html to check it.",
        "The disk may be pulled out now.",
    ]
