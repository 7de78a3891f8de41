"""The tracks of one film: a CSV file with a row for each track in each picture that was searched."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import msgspec

from agent.base.model import BoundingBox, Label
from centre.film_player import TrackRecord

COLUMNS = ("t_s", "frame", "track", "label", "score", "x", "y", "w", "h")
GROUND_COLUMNS = ("x_m", "y_m", "speed_km_h")
"""Further columns if the scene has a calibrated ground; empty if the value is not known."""


class TrackRow(msgspec.Struct, frozen=True, kw_only=True):
    """One track in one picture. `t_s` is the time in the film, `box` in 0..1 of the picture.

    `x_m` and `y_m` are the foot on the ground of the scene.
    """

    t_s: float
    frame: int
    track: int
    label: Label
    score: float
    box: BoundingBox
    x_m: float | None = None
    y_m: float | None = None
    speed_km_h: float | None = None


def encode_row(record: TrackRecord, *, is_measured: bool) -> bytes:
    """Return the row of a track, without its newline. `is_measured`: the file has the columns of the ground."""
    box = record.box
    row = (
        f"{record.t_s:.3f},{record.frame},{record.track},{record.label},{record.score:.4f},"
        f"{box.x:.4f},{box.y:.4f},{box.w:.4f},{box.h:.4f}"
    )
    if is_measured:
        motion = record.ground
        if isinstance(motion, msgspec.UnsetType):
            row += ",,,"
        else:
            speed = "" if motion.speed_km_h is None else f"{motion.speed_km_h:.1f}"
            row += f",{motion.x_m:.2f},{motion.y_m:.2f},{speed}"
    return row.encode()


def read_tracks(path: Path) -> Iterator[TrackRow]:
    """Yield the rows of a file that `vigie count` has written, in the order of their times. May raise OSError."""
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            x_m, y_m, speed_km_h = (
                float(row[key]) if row.get(key) else None for key in GROUND_COLUMNS
            )
            yield TrackRow(
                t_s=float(row["t_s"]),
                frame=int(row["frame"]),
                track=int(row["track"]),
                label=cast("Label", row["label"]),
                score=float(row["score"]),
                box=BoundingBox(*(float(row[key]) for key in ("x", "y", "w", "h"))),
                x_m=x_m,
                y_m=y_m,
                speed_km_h=speed_km_h,
            )
