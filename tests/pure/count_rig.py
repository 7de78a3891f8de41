"""Films, parts and settings of a count without a film."""

from datetime import datetime, timedelta, timezone
from pathlib import Path

from agent.base.model import BoundingBox, Label
from agent.detection.scene import Scene, decode_scene
from centre.count.film_list import ListedFilm
from centre.count.film_part import FilmPart, PartCrossing, PartKey, PartMinute, PartPassage
from centre.count.join import CountSettings
from centre.film_player import FilmHeader

START = datetime(2026, 5, 12, 8, tzinfo=timezone(timedelta(hours=1)))
SCENE = decode_scene(
    {
        "line": [
            {"name": "north", "from": [0.1, 0.4], "to": [0.9, 0.4], "labels": ["car", "person"]},
            {"name": "south", "from": [0.1, 0.6], "to": [0.9, 0.6], "labels": ["car"]},
        ],
        "flow": [{"name": "through", "from": "north", "to": "south", "labels": ["car"]}],
    },
    "scene",
)


def make_header(duration_s: float = 60.0, fps: float = 25.0, creation_time: str = "") -> FilmHeader:
    return FilmHeader(
        duration_s=duration_s, fps=fps, width_px=640, height_px=360, creation_time=creation_time
    )


def make_film(
    name: str = "street", start: datetime = START, duration_s: float = 60.0, fps: float = 25.0
) -> ListedFilm:
    return ListedFilm(
        name=name,
        path=Path(f"films/{name}.mp4"),
        header=make_header(duration_s, fps),
        start=start,
        start_source="given",
        warnings=(),
    )


def make_minute(begin_s: float = 0.0, end_s: float = 60.0, **more: object) -> PartMinute:
    values: dict[str, object] = {
        "observed_s": end_s - begin_s,
        "light": "day",
        "reasons": (),
        "small": {},
    } | more
    return PartMinute(begin_s=begin_s, end_s=end_s, **values)  # type: ignore[arg-type]


def make_crossing(
    t_s: float, line: str = "north", label: Label = "car", **more: object
) -> PartCrossing:
    values: dict[str, object] = {
        "minute": int(t_s // 60),
        "seen_s": t_s + 0.2,
        "direction": "forward",
        "track": 7,
        "score": 0.8,
        "position": 0.5,
        "box": BoundingBox(0.4, 0.3, 0.1, 0.2),
    } | more
    return PartCrossing(t_s=t_s, line=line, label=label, **values)  # type: ignore[arg-type]


def make_part(
    *minutes: PartMinute,
    crossings: tuple[PartCrossing, ...] = (),
    passages: tuple[PartPassage, ...] = (),
    start: datetime = START,
) -> FilmPart:
    minutes = minutes or (make_minute(),)
    return FilmPart(
        key=PartKey(
            size_bytes=1000,
            mtime_ns=1,
            start=start,
            scene_sha256="0" * 64,
            model_card_sha256="1" * 64,
            version="1",
        ),
        sha256="2" * 64,
        played_s=minutes[-1].end_s,
        frames=10 * int(minutes[-1].end_s),
        pictures=25 * int(minutes[-1].end_s),
        crossings=crossings,
        passages=passages,
        minutes=minutes,
    )


def make_settings(interval_s: int = 900, scene: Scene = SCENE, **more: object) -> CountSettings:
    values: dict[str, object] = {"zone": None, "warnings": ()} | more
    return CountSettings(
        scene_name="crossroads",
        scene=scene,
        interval_s=interval_s,
        model="nanodet_320",
        model_sha256="3" * 64,
        version="1",
        **values,  # type: ignore[arg-type]
    )
