"""The count of one person next to its film, as a file of labels that is replaced as a whole with each change."""

import re
from contextlib import closing
from pathlib import Path
from typing import Annotated

import msgspec

from agent.base import checked_convert
from agent.base.atomic_file import replace_atomically
from agent.base.errors import UserError
from agent.base.file_read import read_regular_file
from agent.detection.scene import Scene, SceneLine
from centre.validate.agreement import Agreement, check_comparable, compare, merge
from centre.validate.crossing_truth import (
    MAX_CLIP_S,
    MAX_CROSSINGS,
    MAX_TRUTH_BYTES,
    ClipName,
    ClipTruth,
    TrueCrossing,
    check_whole,
    decode_truth,
    encode_truth,
)
from drivers.av_stream import VideoSource, open_video_source
from drivers.media import NS_PER_S

AGREED = "agreed"
"""Name in place of a person's: the agreed count of two."""
PLAYED_SUFFIXES = (".mp4", ".m4v", ".mov", ".webm", ".mkv")
PLAYED_CODECS = ("h264", "hevc", "av1", "vp9", "vp8")
"""Codecs that some browser plays. The page says if the browser at hand does not."""
PersonName = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^\w[\w -]{0,39}$(?!\n)",
        extra={
            "allowed": "1 to 40 letters, digits, spaces, _ and -: it becomes a part of a file's name"
        },
    ),
]
_DIGITS = 4
_NOT_IN_NAMES = re.compile(r"[^\w-]+")


class CountedFilm(msgspec.Struct, frozen=True, kw_only=True):
    """The film of a count. `duration_s` is that of its pictures."""

    path: Path
    duration_s: float
    fps: float
    width_px: int
    height_px: int


class SavedCount(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A count as its page sends it, with the revision that it is based on."""

    revision: int
    counted: Annotated[float, msgspec.Meta(ge=0, le=MAX_CLIP_S)]
    crossings: Annotated[tuple[TrueCrossing, ...], msgspec.Meta(max_length=MAX_CROSSINGS)]


class CountConflict(UserError):
    """The file was changed by another page or program since it was read."""


class CountFile:
    """One open file. `revision` rises with each save. Used by one thread."""

    def __init__(self, path: Path, clip: str, truth: ClipTruth, content: bytes | None) -> None:
        self.path = path
        self.truth = truth
        self.revision = 0
        self._clip = clip
        self._content = content
        """Bytes of the file, None before the first save."""

    def save(self, saved: SavedCount) -> None:
        """Replace the file; its bytes are durable then.

        Raises: UserError if a crossing is not within the film or the file cannot be written, CountConflict if it has changed.
        """
        if saved.revision != self.revision:
            raise CountConflict("count: another page has saved it; allowed: one page at a time")
        if _read(self.path) != self._content:
            raise CountConflict(
                f"count {str(self.path)!r}: another program has changed it; allowed: one at a time"
            )
        try:
            truth = msgspec.structs.replace(
                self.truth,
                counted_s=min(saved.counted, self.truth.duration_s),
                crossings=tuple(sorted(saved.crossings, key=lambda one: one.t_s)),
            )
        except ValueError as error:
            raise UserError(f"count: {error}") from error
        content = encode_truth({self._clip: truth})
        _write(self.path, content)
        self.truth, self._content = truth, content
        self.revision += 1


def read_film(path: Path) -> CountedFilm:
    """Read a film's header. Raises: UserError if no browser plays it, DriverError if it is no film."""
    name = f"film {str(path)!r}"
    with closing(open_video_source(str(path), name)) as source:
        codec = source.info.codec
        if path.suffix.lower() not in PLAYED_SUFFIXES or codec not in PLAYED_CODECS:
            raise UserError(
                f"{name}: {codec} in {path.suffix or 'no suffix'}: no browser plays it; allowed: {', '.join(PLAYED_CODECS)} in "
                f"{', '.join(PLAYED_SUFFIXES)}, such as by `ffmpeg -i FILM -c:v libx264 -an FILM.mp4`"
            )
        duration_s = _duration_s(source)
        if not 0 < duration_s <= MAX_CLIP_S:
            raise UserError(
                f"{name}: {duration_s:g} s long by its header; allowed: up to {MAX_CLIP_S} s"
            )
        return CountedFilm(
            path=path,
            duration_s=round(duration_s, 3),
            fps=source.info.fps,
            width_px=source.info.width_px,
            height_px=source.info.height_px,
        )


def choose_line(scene: Scene, name: str | None, file: Path) -> SceneLine:
    """Return the line of a scene with a name, or its only one. Raises: UserError."""
    names = ", ".join(repr(line.name) for line in scene.line) or "none"
    if name is None:
        if len(scene.line) != 1:
            raise UserError(
                f"scene {str(file)!r}: {len(scene.line)} lines; allowed: --line with the name of one: {names}"
            )
        return scene.line[0]
    for line in scene.line:
        if line.name == name:
            return line
    raise UserError(f"--line {name!r}: not in the scene; allowed: {names}")


def count_path(film: Path, line: SceneLine, by: str) -> Path:
    """Return the path of a person's count of a line: next to the film. Raises: UserError if it has no such name."""
    checked_convert.convert(by, PersonName, "--by")
    checked_convert.convert(film.stem, ClipName, f"film {str(film)!r}")
    if not film.stem.isprintable():
        raise UserError(f"film {str(film)!r}: allowed: a name in UTF-8")
    slug = _NOT_IN_NAMES.sub("-", line.name).strip("-") or "line"
    return film.with_name(f"{film.stem}.{slug}.{by}.json")


def open_count(film: CountedFilm, view: str, line: SceneLine, by: str) -> CountFile:
    """Open a person's count of a line in a film: a new one, or the one that is there, to continue it.

    `view` is the name of a new one's view.

    Raises: UserError if the file that is there is of another line or film, or cannot be read.
    """
    path, clip = count_path(film.path, line, by), film.path.stem
    new = ClipTruth(
        line=_ends(line),
        duration_s=film.duration_s,
        counted_s=0.0,
        view=view,
        by=by,
        line_note=line.name,
        crossings=(),
    )
    content = _read(path)
    if content is None:
        return CountFile(path, clip, new, None)
    truth = _decode(path, clip, content)
    check_comparable(new, truth, f"count {str(path)!r}")
    return CountFile(path, clip, truth, content)


class ComparedCounts(msgspec.Struct, frozen=True, kw_only=True):
    """The agreement of two people, and the path of their agreed count, which was there before if `is_kept`."""

    agreement: Agreement
    agreed: Path
    is_kept: bool


def compare_counts(film: Path, line: SceneLine, first: str, second: str) -> ComparedCounts:
    """Compare the counts of two people, and write their agreed count unless there is one.

    Raises: UserError if one is missing, unfinished or of another line, or if the file cannot be written.
    """
    one, other = (_read_whole(count_path(film, line, by), film.stem) for by in (first, second))
    check_comparable(one, other, f"count {str(count_path(film, line, second))!r}")
    agreement = compare(one, other)
    agreed = count_path(film, line, AGREED)
    is_kept = agreed.exists()
    if not is_kept:
        _write(agreed, encode_truth({film.stem: merge(one, other, agreement.pairs)}))
    return ComparedCounts(agreement=agreement, agreed=agreed, is_kept=is_kept)


def _read_whole(path: Path, clip: str) -> ClipTruth:
    content = _read(path)
    if content is None:
        raise UserError(f"count {str(path)!r}: No such file; allowed: one that has been counted")
    truth = _decode(path, clip, content)
    check_whole(clip, truth, f"count {str(path)!r}")
    return truth


def _decode(path: Path, clip: str, content: bytes) -> ClipTruth:
    found = decode_truth(content, f"count {str(path)!r}")
    if list(found) != [clip]:
        raise UserError(
            f"count {str(path)!r}: of {', '.join(map(repr, found))}; allowed: of {clip!r}"
        )
    return found[clip]


def _ends(line: SceneLine) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = (
        round(value, _DIGITS) for value in (line.start.x, line.start.y, line.to.x, line.to.y)
    )
    return x1, y1, x2, y2


def _duration_s(source: VideoSource) -> float:
    if source.stream.duration:
        return source.ticks_to_ns(source.stream.duration) / NS_PER_S
    return source.duration_s


def _read(path: Path) -> bytes | None:
    try:
        return read_regular_file(path, MAX_TRUTH_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"count {str(path)!r}: {error.strerror or error}") from error


def _write(path: Path, content: bytes) -> None:
    try:
        replace_atomically(path, content, 0o666, apply_umask=True)
    except OSError as error:
        raise UserError(f"count {str(path)!r}: {error.strerror or error}") from error
