"""A short film with the events and tracks that `vigie replay` writes for it, without the detector: the tracks are drawn.

A rectangle drives from the left to the right in six seconds and crosses the line in the middle; a second one follows.
"""

from fractions import Fraction
from pathlib import Path

import av
import msgspec
import numpy as np

from agent.base.model import BoundingBox, FrameResult
from agent.detection.rule_engine import RuleEngine
from agent.detection.scene import load_scene
from centre.film_messages import FilmMessages
from centre.film_player import FILM_CAMERA, track_records
from centre.line_file import LineFile
from tests.pure.rules.scripted_tracks import ScriptedRoadUser, frame_results, straight_path

WIDTH_PX, HEIGHT_PX, FPS = 640, 360, 10
END_S = 8.0
CROSSING_S = 3.0
"""The time at which the first one is on the line."""
SCENE = """\
# Two directions.
[[line]]
name = "gate"
from = [0.5, 0.9]
to = [0.5, 0.1]
forward_name = "to the right"
backward_name = "to the left"
events = true

[[line]]
name = "quiet"
from = [0.7, 0.9]
to = [0.7, 0.1]

[[zone]]
name = "yard"
polygon = [[0.55, 0.2], [0.95, 0.2], [0.95, 0.8], [0.55, 0.8]]
kind = "any"

[[flow]]
name = "on"
from = "gate"
to = "quiet"

[ground]
point = [
  { at = [0.3, 0.6], metres = [0.0, 0.0] },
  { at = [0.7, 0.6], metres = [7.0, 0.0] },
  { at = [0.6, 0.4], metres = [7.0, 15.0] },
  { at = [0.4, 0.4], metres = [0.0, 15.0] },
]
"""


class ReplayFiles(msgspec.Struct, frozen=True):
    """The four files."""

    film: Path
    events: Path
    tracks: Path
    scene: Path


def road_users() -> list[ScriptedRoadUser]:
    return [
        ScriptedRoadUser(straight_path((0, 0.2, 0.5), (6, 0.8, 0.5)), track=1),
        ScriptedRoadUser(straight_path((1, 0.9, 0.3), (7, 0.3, 0.3)), track=2, label="truck"),
    ]


def write_replay(folder: Path, *, first_s: float = 0.0) -> ReplayFiles:
    """Write the files. The first picture of the film is presented at `first_s` of the file's own time."""
    files = ReplayFiles(
        folder / "film.mp4", folder / "events.jsonl", folder / "tracks.jsonl", folder / "gate.toml"
    )
    files.scene.write_text(SCENE)
    results = list(frame_results(road_users(), END_S))
    write_film(files.film, results, first_s)
    messages = FilmMessages(files.film.name)
    engine = RuleEngine(FILM_CAMERA, load_scene(files.scene), messages.new_id)
    with LineFile(files.events) as events, LineFile(files.tracks) as tracks:
        for result in results:
            for event in engine.evaluate(result):
                events.write(messages.encode_event(event))
            for record in track_records(result, engine):
                tracks.write(msgspec.json.encode(record))
        for event in engine.flush(results[-1].t_ns):
            events.write(messages.encode_event(event))
        for counts in engine.flush_counts(results[-1].t_ns):
            events.write(messages.encode_traffic(counts))
    return files


def write_film(path: Path, results: list[FrameResult], first_s: float) -> None:
    """Draw each track as a white rectangle on grey."""
    with av.open(str(path), "w") as video:
        stream = video.add_stream("libx264", rate=FPS, options={"bf": "2"})
        stream.width, stream.height, stream.pix_fmt = WIDTH_PX, HEIGHT_PX, "yuv420p"
        stream.time_base = Fraction(1, 1000)
        for result in results:
            picture = np.full((HEIGHT_PX, WIDTH_PX, 3), 90, np.uint8)
            for track in result.tracks:
                left, top, right, bottom = corners_px(track.box)
                picture[top:bottom, left:right] = 255
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = (
                round(result.t_ns / 1e6 + first_s * 1000),
                Fraction(1, 1000),
            )
            video.mux(stream.encode(frame))
        video.mux(stream.encode(None))


def corners_px(box: BoundingBox) -> tuple[int, int, int, int]:
    return (
        round(box.x * WIDTH_PX),
        round(box.y * HEIGHT_PX),
        round((box.x + box.w) * WIDTH_PX),
        round((box.y + box.h) * HEIGHT_PX),
    )
