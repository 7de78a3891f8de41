"""Checks of a pipeline run: capture, detection, recording, encryption and export."""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import reduce
from pathlib import Path

import av
import av.error
import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent.base.errors import UserError
from agent.base.message import Message, join_sentences, message_of
from agent.base.model import Segment
from agent.base.sha256 import sha256_hex
from agent.config.names import name_of_model
from agent.detection.model_card import ModelRefused
from agent.detection.pipeline import DetectionPipeline
from agent.detection.tflite import open_detector
from agent.diagnostics.selftest import street_pattern
from agent.diagnostics.selftest.pipeline_run import (
    BOX_ID,
    PICTURE_TIMEOUT_S,
    PipelineRun,
    PipelineRunResult,
)
from agent.diagnostics.selftest.street_pattern import FrameTracks
from agent.recording.archive import FootageArchive
from agent.recording.custody.custody_log import CustodyLog
from agent.recording.custody.receipts import SegmentClosed, parse_line
from agent.recording.encryption.key_wrapping import read_sidecar, unwrap_segment_key
from agent.recording.encryption.keys import SegmentKey
from agent.recording.export.export_request import ExportRequest
from agent.recording.export.exporter import ExportError
from agent.recording.export.head_coverage import KnownHead
from agent.recording.export.segment_reader import SegmentReader
from agent.recording.export.unseal import unseal
from agent.recording.export.verify import verify_export
from agent.recording.segment_name import KEYS_SUFFIX
from drivers.media import Plane

MAX_DIFFERENCE = 6.0
"""See `max_block_difference`: the encoder makes 1.2, another tenth of a second mostly over 10."""
_BUSY_RATIO = 2
"""From this multiple of real time on the step names the busy box. It passes: no camera of the box is rendered."""
_MIN_SEGMENTS = 3
_FRAME_STRIDE = 3


class CheckFailed(Exception):
    """A check has failed. The message is one sentence."""


def check_capture(result: PipelineRunResult) -> Message:
    """Check that the camera delivered every picture once."""
    expected = street_pattern.FRAME_COUNT
    problem: Message | None = None
    if result.packets != expected:
        problem = Message(
            "{count} of {expected} pictures captured", count=result.packets, expected=expected
        )
    if not result.is_complete and result.packets <= expected:
        problem = Message(
            "the camera delivered {count} of {expected} pictures, and none for {timeout_s:g} s",
            count=result.packets,
            expected=expected,
            timeout_s=PICTURE_TIMEOUT_S,
        )
    if problem is not None:
        raise CheckFailed(
            Message("{problem}: {reason}", problem=problem, reason=result.last_error)
            if result.last_error
            else problem
        )
    summary = Message(
        "{count} pictures of the test pattern captured, {detection_count} for detection",
        count=result.packets,
        detection_count=result.frames,
    )
    if result.played_s < _BUSY_RATIO * street_pattern.DURATION_S:
        return summary
    return Message(
        "{summary}; the box is busy: {duration_s:g} s of the street took {played_s:.0f} s",
        summary=summary,
        duration_s=street_pattern.DURATION_S,
        played_s=result.played_s,
    )


def check_detection(run: PipelineRun, result: PipelineRunResult) -> Message:
    """Check that each configured model finds the road users, and that a rule reports a crossing."""
    # The default model detects in place of a refused one.
    for fault in result.faults:
        if fault.startswith("DET-01"):
            raise CheckFailed(fault)
    summary = _check_tracks(f"{result.model}", result.frame_tracks, result.faults)
    if not result.events:
        raise CheckFailed(
            Message("{summary}; no event of the line that two cars cross", summary=summary)
        )
    summary = Message(
        "{summary}, {inference_ms:.1f} ms a pass",
        summary=summary,
        inference_ms=result.inference_ms,
    )
    for model in run.other_models:
        summary = join_sentences(summary, _check_tracks(model, tuple(_run_model(model))))
    return Message("{summary}; {count} events", summary=summary, count=len(result.events))


def _check_tracks(model: str, frames: Sequence[FrameTracks], faults: Sequence[str] = ()) -> Message:
    score = street_pattern.score_detections(frames)
    summary = Message("{model}: {score}", model=name_of_model(model), score=score.summary)
    if not score.ok:
        raise CheckFailed(reduce(join_sentences, faults, summary))
    return summary


def _run_model(model: str) -> Iterator[FrameTracks]:
    """Yield the tracks of a further model in a third of the pictures. Raises CheckFailed."""
    try:
        pipeline = DetectionPipeline(open_detector(model))
    except ModelRefused as error:
        raise CheckFailed(message_of(error)) from error
    for frame in street_pattern.render_frames():
        if frame.seq % _FRAME_STRIDE == 0:
            frame_result = pipeline.process(frame)
            yield FrameTracks(
                t_s=street_pattern.frame_time_s(frame.seq), tracks=frame_result.tracks
            )


def check_recording(run: PipelineRun, result: PipelineRunResult) -> Message:
    """Check that every segment is closed, matches its receipt, and shows the pattern."""
    segments = result.segments
    if not segments:
        reason = "; ".join(result.faults) or Message("no segment was closed")
        raise CheckFailed(Message("nothing was recorded: {reason}", reason=reason))
    unfinished = [path.name for path in run.footage_folder.rglob("*.part")]
    if unfinished:
        raise CheckFailed(Message("{file} was never closed", file=unfinished[0]))
    receipts = _close_receipts(run.custody)
    decoded_count = 0
    max_difference = 0.0
    source_frames = street_pattern.render_frames()
    decrypted = run.folder / "plain.mp4"
    for segment in segments:
        path = Path(segment.path)
        _drop_page_cache(path)
        receipt = receipts.get(path.name)
        if receipt is None:
            raise CheckFailed(Message("{file}: no receipt in the chain of custody", file=path.name))
        if (receipt.sha256, receipt.size_bytes) != _hash_and_size(path):
            raise CheckFailed(
                Message("{file}: the disk returns other bytes than were written", file=path.name)
            )
        unseal(path, path.with_name(path.name + KEYS_SUFFIX), run.test_key, decrypted)
        for luma in _decode_luma(decrypted):
            frame = next(source_frames, None)
            if frame is None:
                raise CheckFailed(Message("more pictures recorded than captured"))
            max_difference = max(max_difference, street_pattern.max_block_difference(luma, frame.y))
            decoded_count += 1
    decrypted.unlink(missing_ok=True)
    if decoded_count != result.packets:
        raise CheckFailed(
            Message(
                "{count} of {expected} pictures can be decoded from the disk",
                count=decoded_count,
                expected=result.packets,
            )
        )
    if max_difference > MAX_DIFFERENCE:
        raise CheckFailed(
            Message(
                "a recorded picture differs from the captured one by {difference:.1f} of 255",
                difference=max_difference,
            )
        )
    size_bytes = sum(segment.size_bytes for segment in segments)
    return Message(
        "{count} pictures in {segment_count} segments ({size_mb:.1f} MB) read back, difference at most "
        "{difference:.1f} of 255",
        count=decoded_count,
        segment_count=len(segments),
        size_mb=size_bytes / 1e6,
        difference=max_difference,
    )


def check_encryption(run: PipelineRun, result: PipelineRunResult) -> Message:
    """Check that each segment key is wrapped for every recipient and for no other key.

    The throw-away key decrypts every segment, and no segment key is stored in the box's folder.
    """
    if not result.segments:
        raise CheckFailed(Message("no footage to check the encryption of"))
    recipient_ids = {recipient.id for recipient in run.recipients}
    keys: list[SegmentKey] = []
    for segment in result.segments:
        path = Path(segment.path)
        sidecar = path.with_name(path.name + KEYS_SUFFIX)
        wrapped_ids = {recipient.id for recipient in read_sidecar(sidecar).recipients}
        if wrapped_ids != recipient_ids:
            missing = ", ".join(sorted(recipient_ids - wrapped_ids))
            raise CheckFailed(
                Message("{file}: the key is not wrapped for {names}", file=path.name, names=missing)
            )
        key = unwrap_segment_key(sidecar, run.test_key)
        with SegmentReader(path) as file:
            if file.header.kid != key.kid:
                raise CheckFailed(Message("{file}: not encrypted with its key", file=path.name))
        _check_foreign_key_rejected(sidecar)
        keys.append(key)
    if len({key.key for key in keys}) != len(keys):
        raise CheckFailed(Message("two segments have the same key"))
    leaking_file = _find_secret(run.folder, [key.key for key in keys])
    if leaking_file is not None:
        raise CheckFailed(
            Message("the key of a segment is stored in {file}", file=leaking_file.name)
        )
    configured_ids = [recipient.id for recipient in run.recipients[:-1]]
    if not configured_ids:
        return Message(
            "{count} keys, wrapped for the test alone: no recipient is configured", count=len(keys)
        )
    return Message(
        "{count} keys, each wrapped for {names}; nothing on the box opens them",
        count=len(keys),
        names=", ".join(configured_ids),
    )


def check_export(run: PipelineRun, result: PipelineRunResult) -> Message:
    """Check that a clip is exported and that the verifier accepts it."""
    if len(result.segments) < _MIN_SEGMENTS:
        raise CheckFailed(
            Message("{count} segments are too few for an export", count=len(result.segments))
        )
    export_folder = run.folder / "export"
    archive = FootageArchive(run.folder, run.footage_folder, BOX_ID, run.clock, {})
    begin, end = _export_span(result.segments)
    request = ExportRequest(
        camera=street_pattern.CAMERA,
        begin=begin,
        end=end,
        by="selftest",
        purpose="self-test",
        out=export_folder,
    )
    try:
        export_result = archive.export(request, run.test_key, lambda _done, _total: None)
    except ExportError as error:
        raise CheckFailed(message_of(error)) from error
    if export_result.clip is None:
        raise CheckFailed(
            Message("the export has no clip: {reason}", reason=str(export_result.no_clip_reason))
        )
    head = run.custody.head()
    verification = verify_export(
        export_folder,
        known_key=run.public_key,
        known_heads=[KnownHead(seq=head.seq, sha256=head.sha256)],
    )
    if not verification.ok:
        raise CheckFailed(
            Message("the verifier says: {problem}", problem=str(verification.first_problem))
        )
    picture_count = sum(1 for _ in _decode_luma(export_folder / "clip.mp4"))
    if not picture_count:
        raise CheckFailed(Message("the clip has no pictures"))
    return Message(
        "a clip of {duration_s:.1f} s with {count} pictures, {segment_count} segments and "
        "{receipt_count} receipts verified",
        duration_s=export_result.clip.duration_ns / 1e9,
        count=picture_count,
        segment_count=verification.segment_count,
        receipt_count=verification.receipt_count,
    )


def _export_span(segments: Sequence[Segment]) -> tuple[datetime, datetime]:
    """Return the span from the middle of the first segment to the middle of the last."""
    first, last = segments[0], segments[-1]
    half = timedelta(seconds=0.5)
    begin = datetime.fromisoformat(first.begin_utc).astimezone(UTC) + half
    return begin, datetime.fromisoformat(last.begin_utc).astimezone(UTC) + half


def _close_receipts(custody: CustodyLog) -> dict[str, SegmentClosed]:
    bodies = (parse_line(line).receipt.body for line in custody.read_lines())
    return {body.segment: body for body in bodies if isinstance(body, SegmentClosed)}


def _check_foreign_key_rejected(sidecar: Path) -> None:
    """Check that a key outside the recipients does not unwrap the segment key."""
    try:
        unwrap_segment_key(sidecar, X25519PrivateKey.generate())
    except UserError:
        return
    raise CheckFailed(
        Message("{file}: a private key of no recipient unwraps the key", file=sidecar.name)
    )


def _find_secret(folder: Path, secrets: Sequence[bytes]) -> Path | None:
    """Return the first file of a folder that contains a secret, as bytes or in hexadecimal."""
    patterns = [*secrets, *(secret.hex().encode() for secret in secrets)]
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            if any(secret in data for secret in patterns):
                return path
    return None


def _hash_and_size(path: Path) -> tuple[str, int]:
    data = path.read_bytes()
    return sha256_hex(data), len(data)


def _drop_page_cache(path: Path) -> None:
    """Drop a file from the page cache, so that the next read comes from the disk: posix_fadvise(2)."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with suppress(OSError):
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)


def _decode_luma(path: Path) -> Iterator[Plane]:
    """Yield the luma of each picture of a video file. Raises CheckFailed if it cannot be decoded."""
    try:
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                # The encoded luma plane: a conversion to grey would stretch its range.
                yield np.asarray(frame.to_ndarray(format="yuv420p")[: frame.height], np.uint8)
    except av.error.FFmpegError as error:
        raise CheckFailed(
            Message("{file}: cannot be decoded: {error}", file=path.name, error=str(error))
        ) from error
