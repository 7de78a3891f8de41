"""Export of the demo's footage as evidence, verified as a centre verifies it."""

from datetime import datetime, timedelta

import msgspec

from agent.base.clock import Clock
from agent.recording.archive import FootageArchive
from agent.recording.export.export_request import ExportRequest
from agent.recording.export.exporter import ExportError
from agent.recording.export.verify import verify_export
from centre.demo.files import DemoFiles

_PRE_ROLL = timedelta(seconds=5)
_POST_ROLL = timedelta(seconds=15)


class ExportCheck(msgspec.Struct, frozen=True, kw_only=True):
    """A verified export, or why there is none (`error`)."""

    clip_duration_s: float
    segments: int
    receipts: int
    error: str | None


def check_export(
    files: DemoFiles, camera: str, begin_time: str, public_key: str | None, clock: Clock
) -> ExportCheck:
    """Export the footage around the first event, and verify it with the centre's `public_key`."""
    begin = datetime.fromisoformat(begin_time)
    request = ExportRequest(
        camera=camera,
        begin=begin - _PRE_ROLL,
        end=begin + _POST_ROLL,
        by="vigie demo",
        purpose="its first events",
        out=files.export,
    )
    try:
        result = FootageArchive.from_state_dir(files.state, clock).export(
            request, None, lambda _done, _total: None
        )
    except (ExportError, OSError) as error:
        return ExportCheck(clip_duration_s=0.0, segments=0, receipts=0, error=str(error))
    verification = verify_export(files.export, known_key=public_key)
    return ExportCheck(
        clip_duration_s=result.clip.duration_ns / 1e9 if result.clip else 0.0,
        segments=verification.segment_count,
        receipts=verification.receipt_count,
        error=None if verification.ok else str(verification.first_problem),
    )
