"""The part of one film in a count, in the film's own time, and the file in which it waits for the others."""

from datetime import datetime
from pathlib import Path

import msgspec

from agent.base.json_decode import MalformedJson, decode_json
from agent.base.model import Label
from agent.base.sha256 import Sha256
from agent.base.view_condition import Light, ViewLimit
from centre.count.results import FilmCrossing


class PartKey(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a part depends on: a part with another key is counted again.

    A film is recognized by its size and its time of change: its hash takes as long as reading it.
    """

    size_bytes: int
    mtime_ns: int
    start: datetime
    scene_sha256: Sha256
    model_card_sha256: Sha256
    version: str


class PartCrossing(FilmCrossing, frozen=True, kw_only=True):
    """One crossing. `minute` is the index in `FilmPart.minutes` of the minute that counted it."""

    minute: int


class PartPassage(msgspec.Struct, frozen=True, kw_only=True):
    """See `results.CountedPassage`."""

    minute: int
    t_s: float
    flow: str
    label: Label
    track: int


class PartMinute(msgspec.Struct, frozen=True, kw_only=True):
    """One minute of the film. `small` are the labels that are too small, by line or zone."""

    begin_s: float
    end_s: float
    observed_s: float
    light: Light
    reasons: tuple[ViewLimit, ...]
    small: dict[str, tuple[Label, ...]]


class FilmPart(msgspec.Struct, frozen=True, kw_only=True):
    """One film that was counted to its end: `frames` of its pictures were searched."""

    key: PartKey
    sha256: Sha256
    """Of the film."""
    played_s: float
    frames: int
    pictures: int
    """Up to the last one that was searched."""
    crossings: tuple[PartCrossing, ...]
    passages: tuple[PartPassage, ...]
    minutes: tuple[PartMinute, ...]


def read_part(path: Path) -> FilmPart | None:
    """Return a part that was written, or None if there is none that this version reads. May raise OSError."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        return decode_json(content, FilmPart)
    except MalformedJson:
        return None
