"""Results of uploads: of a clip, of a support bundle."""

import msgspec

from agent.clips.clip_task import ClipForm
from agent.clips.upload_queue import UploadRecord
from agent.commands.requester import CommandRejected


class ClipResult(msgspec.Struct, frozen=True, kw_only=True):
    """The file that `host` has now, by its SHA-256.

    `begin` and `end` are what it covers, from keyframe to keyframe. `times` are those of the thumbnails.
    `left_out` names segments of the span that are not in it, with the reason, at most 20.
    """

    camera: str
    form: ClipForm
    begin: str
    end: str
    sha256: str
    size_bytes: int
    media_type: str
    host: str
    times: tuple[str, ...] = ()
    left_out: dict[str, str] = {}


class BundleResult(msgspec.Struct, frozen=True, kw_only=True):
    """The support bundle that `host` has now, by its SHA-256."""

    sha256: str
    size_bytes: int
    media_type: str
    host: str


def result_of(record: UploadRecord) -> ClipResult | BundleResult:
    """Return the result of an upload that has ended. Raises: CommandRejected if it failed."""
    made, outcome = record.made, record.outcome
    if outcome is None or made is None or outcome.code is not None:
        outcome_code = "failed" if outcome is None or outcome.code is None else outcome.code
        raise CommandRejected(outcome_code, "" if outcome is None else outcome.message)
    if record.form == "bundle":
        return BundleResult(
            sha256=made.sha256,
            size_bytes=made.size_bytes,
            media_type=made.media_type,
            host=record.host,
        )
    return ClipResult(
        camera=record.camera,
        form=record.form,
        begin=made.begin,
        end=made.end,
        sha256=made.sha256,
        size_bytes=made.size_bytes,
        media_type=made.media_type,
        host=record.host,
        times=made.times,
        left_out=made.left_out,
    )
