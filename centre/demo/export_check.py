"""The demo's footage leaves the box as evidence would: exported, and verified as the centre does."""

from datetime import datetime, timedelta

import msgspec

from agent.base.clock import Clock
from agent.recording.archive import FootageArchive
from agent.recording.export.exporter import CannotExport
from agent.recording.export.html_pages import ExportPageText
from agent.recording.export.verify import verify_export
from centre.demo.files import DemoFiles

_BEFORE = timedelta(seconds=5)
_AFTER = timedelta(seconds=15)


class ExportCheck(msgspec.Struct, frozen=True, kw_only=True):
    """The export of the first events' footage, or why there is none (`failed`). `ok` is whether it
    was verified with the key that the box had told its centre.
    """

    ok: bool
    clip_s: float
    segments: int
    receipts: int
    failed: str | None


def prove(
    files: DemoFiles, camera: str, begin_time: str, public_key: str | None, clock: Clock
) -> ExportCheck:
    """Export the footage around the first event, and verify it."""
    begin = datetime.fromisoformat(begin_time)
    wish = ExportPageText(
        camera=camera,
        begin=begin - _BEFORE,
        end=begin + _AFTER,
        by="the demo",
        purpose="its first events",
        out=files.export,
    )
    try:
        made = FootageArchive.of_state(files.state, clock).export(
            wish, None, lambda _done, _total: None
        )
    except (CannotExport, OSError) as error:
        return ExportCheck(ok=False, clip_s=0.0, segments=0, receipts=0, failed=str(error))
    verdict = verify_export(files.export, known_key=public_key)
    problem = verdict.first_problem
    return ExportCheck(
        ok=verdict.ok,
        clip_s=made.clip.duration_ns / 1e9 if made.clip else 0.0,
        segments=verdict.segments,
        receipts=verdict.receipts,
        failed=None if problem is None else str(problem),
    )
