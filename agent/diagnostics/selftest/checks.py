"""What is proven of what the rehearsal has left behind: footage, seals, an export."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import av
import av.error
import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent.base.errors import UserError
from agent.base.model import Segment
from agent.detection.model_card import ModelRefused
from agent.detection.pipeline import DetectionPipeline
from agent.detection.tflite import open_detector
from agent.diagnostics.selftest import test_pattern
from agent.diagnostics.selftest.pipeline_run import BOX, PipelineRun, PipelineRunResult
from agent.diagnostics.selftest.test_pattern import FrameFinding
from agent.recording.archive import FootageArchive
from agent.recording.custody.custody_log import CustodyLog
from agent.recording.custody.receipts import Closed, read_line
from agent.recording.encryption.keys import SegmentKey
from agent.recording.encryption.seal import open_sidecar, read_sidecar
from agent.recording.encryption.unseal import unseal
from agent.recording.export.exporter import CannotExport
from agent.recording.export.html_pages import ExportPageText
from agent.recording.export.segment_reader import SegmentReader
from agent.recording.export.verify import verify_export
from agent.recording.segment_name import KEYS
from drivers.media import Plane

MOST_DIFFERENCE = 6.0
"""See `pattern.difference`: the encoder makes 1.2, and another tenth of a second mostly over 10."""
_FEW = 3
_EVERY = 3


class NotProven(Exception):
    """A part of the box does not do what it should. One sentence says what."""


def capture(played: PipelineRunResult) -> str:
    """The camera gave every picture, once."""
    if not played.ended:
        raise NotProven(
            f"the camera gave {played.packets} of {test_pattern.PICTURES} pictures in time"
        )
    if played.packets != test_pattern.PICTURES:
        why = f": {played.last_error}" if played.last_error else ""
        raise NotProven(f"{played.packets} of {test_pattern.PICTURES} pictures came{why}")
    return f"{played.packets} pictures of the known street came, {played.frames} for detection"


def detect(rehearsal: PipelineRun, played: PipelineRunResult) -> str:
    """Each model of the configuration finds those who are there, and a rule sees them cross."""
    said = [_found(f"{played.model}", played.looks, played.faults)]
    if not played.events:
        raise NotProven(f"{said[0]}; nobody crossed the line that two cars do cross")
    said[0] += f", {played.pass_ms:.1f} ms a pass"
    said += [_found(model, tuple(_looks_of(model))) for model in rehearsal.other_models]
    return f"{'; '.join(said)}; {len(played.events)} events"


def _found(model: str, looks: Sequence[FrameFinding], faults: Sequence[str] = ()) -> str:
    finding = test_pattern.judge(looks)
    if not finding.ok:
        raise NotProven("; ".join([f"{model}: {finding}", *faults]))
    return f"{model}: {finding}"


def _looks_of(model: str) -> Iterator[FrameFinding]:
    """What a further model sees in a third of the pictures. Raises NotProven."""
    try:
        eyes = DetectionPipeline(open_detector(model))
    except ModelRefused as error:
        raise NotProven(str(error)) from error
    for frame in test_pattern.pictures():
        if frame.seq % _EVERY == 0:
            sight = eyes.process(frame)
            yield FrameFinding(t_s=test_pattern.second_of(frame.seq), tracks=sight.tracks)


def check_recording(rehearsal: PipelineRun, played: PipelineRunResult) -> str:
    """Every segment is closed, in the chain as it lies on the disk, and shows the pattern."""
    segments = played.segments
    if not segments:
        why = "; ".join(played.faults) or "no segment was closed"
        raise NotProven(f"nothing was recorded: {why}")
    left = [path.name for path in rehearsal.footage.rglob("*.part")]
    if left:
        raise NotProven(f"{left[0]} was never closed")
    closed = _closed(rehearsal.custody)
    shown = 0
    worst = 0.0
    expected = test_pattern.pictures()
    plain = rehearsal.folder / "plain.mp4"
    for segment in segments:
        path = Path(segment.path)
        _forget_cached(path)
        receipt = closed.get(path.name)
        if receipt is None:
            raise NotProven(f"{path.name}: the chain has no receipt of it")
        if (receipt.sha256, receipt.size_bytes) != _hash_and_size(path):
            raise NotProven(f"{path.name}: the disk gives back other bytes than were written")
        unseal(path, path.with_name(path.name + KEYS), rehearsal.guest, plain)
        for luma in _decoded(plain):
            frame = next(expected, None)
            if frame is None:
                raise NotProven("more pictures were recorded than came")
            worst = max(worst, test_pattern.difference(luma, frame.y))
            shown += 1
    plain.unlink(missing_ok=True)
    if shown != played.packets:
        raise NotProven(f"{shown} of {played.packets} pictures can be played from the disk")
    if worst > MOST_DIFFERENCE:
        raise NotProven(f"a picture from the disk is not the one that came: {worst:.1f} of 255 off")
    size_bytes = sum(segment.size_bytes for segment in segments)
    return (
        f"{shown} pictures in {len(segments)} segments ({size_bytes / 1e6:.1f} MB) read back, "
        f"at most {worst:.1f} of 255 off"
    )


def seal(rehearsal: PipelineRun, played: PipelineRunResult) -> str:
    """Each segment is wrapped for all of the recipients, opens with the throw-away secret, with no
    other one, and no key of it lies in the box's folder.
    """
    if not played.segments:
        raise NotProven("there is no footage to seal")
    names = {recipient.id for recipient in rehearsal.recipients}
    keys: list[SegmentKey] = []
    for segment in played.segments:
        path = Path(segment.path)
        sidecar = path.with_name(path.name + KEYS)
        wrapped = {one.id for one in read_sidecar(sidecar).recipients}
        if wrapped != names:
            missing = ", ".join(sorted(names - wrapped))
            raise NotProven(f"{path.name}: the key is not wrapped for {missing}")
        key = open_sidecar(sidecar, rehearsal.guest)
        with SegmentReader(path) as file:
            if file.head.kid != key.kid:
                raise NotProven(f"{path.name}: it is not sealed with its key")
        _refuse_stranger(sidecar)
        keys.append(key)
    if len({key.key for key in keys}) != len(keys):
        raise NotProven("two segments have one key")
    found = _lies_in(rehearsal.folder, [key.key for key in keys])
    if found is not None:
        raise NotProven(f"the key of a segment lies in {found.name}")
    own = [one.id for one in rehearsal.recipients[:-1]]
    if not own:
        return f"{len(keys)} keys, for nobody but the test: the configuration names no recipient"
    return f"{len(keys)} keys, each wrapped for {', '.join(own)}; nothing on the box opens them"


def export(rehearsal: PipelineRun, played: PipelineRunResult) -> str:
    """A span is cut and exported, and the verifier finds it good."""
    if len(played.segments) < _FEW:
        raise NotProven(f"{len(played.segments)} segments are too few to cut from")
    out = rehearsal.folder / "export"
    footage = FootageArchive(rehearsal.folder, rehearsal.footage, BOX, rehearsal.clock, {})
    begin, end = _inner(played.segments)
    wish = ExportPageText(
        camera=test_pattern.CAMERA,
        begin=begin,
        end=end,
        by="selftest",
        purpose="self-test",
        out=out,
    )
    try:
        made = footage.export(wish, rehearsal.guest, lambda _done, _total: None)
    except CannotExport as error:
        raise NotProven(str(error)) from error
    if made.clip is None:
        raise NotProven(f"no clip was cut: {made.no_clip}")
    verdict = verify_export(
        out, known_key=rehearsal.public_key, known_head=rehearsal.custody.head()
    )
    if not verdict.ok:
        raise NotProven(f"the verifier says: {verdict.first_problem}")
    pictures = sum(1 for _ in _decoded(out / "clip.mp4"))
    if not pictures:
        raise NotProven("the clip shows nothing")
    return (
        f"a clip of {made.clip.duration_ns / 1e9:.1f} s with {pictures} pictures, "
        f"{verdict.segments} segments and {verdict.receipts} receipts verified"
    )


def _inner(segments: Sequence[Segment]) -> tuple[datetime, datetime]:
    """From the middle of the first segment to the middle of the last."""
    first, last = segments[0], segments[-1]
    half = timedelta(seconds=0.5)
    begin = datetime.fromisoformat(first.begin_utc).astimezone(UTC) + half
    return begin, datetime.fromisoformat(last.begin_utc).astimezone(UTC) + half


def _closed(custody: CustodyLog) -> dict[str, Closed]:
    bodies = (read_line(line).receipt.body for line in custody.read())
    return {body.segment: body for body in bodies if isinstance(body, Closed)}


def _refuse_stranger(sidecar: Path) -> None:
    """Whoever is not among the recipients gets no key."""
    try:
        open_sidecar(sidecar, X25519PrivateKey.generate())
    except UserError:
        return
    raise NotProven(f"{sidecar.name}: a stranger's secret opens it")


def _lies_in(folder: Path, secrets: Sequence[bytes]) -> Path | None:
    """The first file of a folder that has one of these in it, as bytes or in hexadecimal."""
    wanted = [*secrets, *(secret.hex().encode() for secret in secrets)]
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            if any(secret in data for secret in wanted):
                return path
    return None


def _hash_and_size(path: Path) -> tuple[str, int]:
    data = path.read_bytes()
    return hashlib.sha256(data).hexdigest(), len(data)


def _forget_cached(path: Path) -> None:
    """Have the kernel read it from the disk, and not give what it remembers: posix_fadvise(2)."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with suppress(OSError):
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(handle)


def _decoded(path: Path) -> Iterator[Plane]:
    """The luma of each picture of a film. Raises NotProven where it cannot be played."""
    try:
        with av.open(str(path)) as film:
            for frame in film.decode(video=0):
                # As it was encoded: to ask for grey would stretch its range.
                yield np.asarray(frame.to_ndarray(format="yuv420p")[: frame.height], np.uint8)
    except av.error.FFmpegError as error:
        raise NotProven(f"{path.name}: cannot be played: {error}") from error
