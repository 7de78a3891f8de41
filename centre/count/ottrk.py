"""Tracks for OTAnalytics: the `.ottrk` of OpenTrafficCam, JSON that is compressed with bzip2.

Written to what OTAnalytics reads: detections in the order of pictures, which are numbered from 1; bounding boxes in
pixels by their top left corner; times in seconds since 1970, UTC. OTAnalytics looks for the film, by its name, in the
folder of the file.
"""

import bz2
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec

from agent import __version__
from agent.base.atomic_file import open_replacement
from agent.base.model import LABELS
from centre.count.film_list import ListedFilm, printable_name
from centre.count.track_file import TrackRow, read_tracks
from centre.film_player import searched_fps
from centre.line_file import as_user_error

OTDET_VERSION, OTTRK_VERSION = "1.2", "1.1"
"""Of the format. From 1.2 times are numbers, and from 1.1 of the tracks their ids are those of one run."""


class _Detection(msgspec.Struct, frozen=True, kw_only=True):
    label: str = msgspec.field(name="class")
    confidence: float
    x: float
    y: float
    w: float
    h: float
    frame: int
    occurrence: float
    input_file_path: str
    is_interpolated: bool = msgspec.field(name="interpolated-detection", default=False)
    is_first: bool = msgspec.field(name="first")
    is_last: bool = msgspec.field(name="finished")
    track: int = msgspec.field(name="track-id")


def write_ottrk(
    tracks: Path, target: Path, film: ListedFilm, run_id: str, played_frames: int, model: str
) -> None:
    """Write a film's tracks, which are read row by row. Raises: UserError if a file cannot be read or written.

    `run_id` is that of the tracks' ids: no other film may have it.
    """
    last_frames = {}
    with (
        as_user_error(target),
        open_replacement(target, 0o666) as file,
        bz2.open(file, "wb") as out,
    ):
        for row in read_tracks(tracks):
            last_frames[row.track] = row.frame
        metadata = _metadata(film, run_id, played_frames, model)
        out.write(b'{"metadata":' + msgspec.json.encode(metadata) + b',"data":{"detections":[')
        separator = b""
        for detection in _detections(read_tracks(tracks), film, last_frames):
            out.write(separator + msgspec.json.encode(detection))
            separator = b","
        out.write(b"]}}")


def _detections(
    rows: Iterator[TrackRow], film: ListedFilm, last_frames: dict[int, int]
) -> Iterator[_Detection]:
    width_px, height_px = film.header.width_px, film.header.height_px
    start_s, name = film.start.timestamp(), printable_name(film.path.name)
    begun: set[int] = set()
    for row in rows:
        yield _Detection(
            label=row.label,
            confidence=row.score,
            x=round(row.box.x * width_px, 2),
            y=round(row.box.y * height_px, 2),
            w=round(row.box.w * width_px, 2),
            h=round(row.box.h * height_px, 2),
            frame=row.frame + 1,
            occurrence=round(start_s + row.t_s, 3),
            input_file_path=name,
            is_first=row.track not in begun,
            is_last=last_frames[row.track] == row.frame,
            track=row.track,
        )
        begun.add(row.track)


def _metadata(film: ListedFilm, run_id: str, played_frames: int, model: str) -> dict[str, object]:
    header, start_s = film.header, film.start.timestamp()
    name = Path(printable_name(film.path.name))
    return {
        "otdet_version": OTDET_VERSION,
        "video": {
            "filename": name.stem,
            "filetype": name.suffix,
            "width": header.width_px,
            "height": header.height_px,
            "expected_duration": round(header.duration_s),
            "recorded_fps": header.fps,
            "actual_fps": header.fps,
            "number_of_frames": played_frames,
            "recorded_start_date": start_s,
            "length": str(timedelta(seconds=round(header.duration_s))),
        },
        "detection": {
            "otvision_version": f"vigie {__version__}",
            "model": {
                "name": "vigie",
                "weights": model,
                "classes": {str(index): label for index, label in enumerate(LABELS)},
            },
            "normalized_bbox": False,
            "detect_fps": searched_fps(header.fps),
        },
        "ottrk_version": OTTRK_VERSION,
        "tracking": {
            "otvision_version": f"vigie {__version__}",
            "first_tracked_video_start": start_s,
            "last_tracked_video_end": film.end.timestamp(),
            "tracker": {"name": "vigie"},
            "tracking_run_id": run_id,
            "frame_group": 0,
        },
    }
