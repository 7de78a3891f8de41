"""A result of `vigie count` that is made up for tests: a crossroads of two lines over three hours, without its films."""

import random
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from agent.base.count_proof import CountValidation, UnvalidatedCounts, ValidatedCounts
from agent.base.model import LABELS, BoundingBox, Label
from agent.base.view_condition import ViewLimit
from agent.detection.scene import Scene, decode_scene
from centre.count.crossing_pictures import SIZE_PX, encode_jpeg
from centre.count.results import (
    CountedCrossing,
    CountedFilm,
    CountedPassage,
    CountInterval,
    CountResult,
    FlowCount,
    LineCount,
    UntrustedShare,
    ValidationShare,
)
from drivers.media import Point

START = datetime(2026, 5, 12, 8, 0, tzinfo=UTC)
INTERVAL = timedelta(minutes=15)
FILM_S = 3600.0
NO_PROOF = UnvalidatedCounts(light="day", reason="no_proof")
VALIDATED = ValidatedCounts(
    light="day",
    f1=0.956,
    f1_low=0.896,
    f1_high=0.982,
    clips=7,
    crossings=89,
    unverifiable_share=0.114,
    time="2026-12-01T08:00:00.000Z",
    by="amina",
)
GROUND = {
    "point": [
        {"at": [0.1, 0.9], "metres": [0.0, 0.0]},
        {"at": [0.9, 0.9], "metres": [10.0, 0.0]},
        {"at": [0.4, 0.3], "metres": [0.0, 40.0]},
        {"at": [0.6, 0.3], "metres": [10.0, 40.0]},
    ]
}


def build_scene(lines: tuple[str, str], *, ground: bool) -> Scene:
    """Return a scene of two lines, a zone and four flows; the first line has no names for its directions."""
    first, second = lines
    tables = {
        "line": [
            {"name": first, "from": [0.1, 0.5], "to": [0.9, 0.5]},
            {
                "name": second,
                "from": [0.1, 0.8],
                "to": [0.9, 0.8],
                "forward_name": "inbound",
                "backward_name": "outbound",
            },
        ],
        "zone": [{"name": "west", "polygon": [[0.0, 0.4], [0.2, 0.4], [0.2, 0.9]]}],
        "flow": [
            {"name": "straight on", "from": first, "to": second},
            {"name": "back", "from": second, "to": first},
            {"name": "left", "from": first, "to": "west"},
            {"name": "right", "from": second, "to": "west"},
        ],
    }
    return decode_scene(tables | ({"ground": GROUND} if ground else {}), "scene")


def build_result(
    crossings: int = 400,
    *,
    lines: tuple[str, str] = ("north arm", "south arm"),
    films: tuple[str, ...] = ("2026-05-12_08", "2026-05-12_09"),
    labels: Sequence[Label] = LABELS,
    ground: bool = True,
    untrusted: tuple[ViewLimit, ...] = ("rain", "dark"),
    validation: CountValidation = NO_PROOF,
) -> CountResult:
    """Return a result; between its films is an hour without one, and the view fails in the last interval."""
    rng = random.Random(1)
    scene = build_scene(lines, ground=ground)
    counted_films = tuple(
        CountedFilm(
            name=name,
            path=f"films/{name}.mp4",
            sha256="0" * 64,
            start=START + timedelta(seconds=2 * number * FILM_S),
            start_source="name",
            duration_s=FILM_S,
            played_s=FILM_S,
            fps=29.97,
            width_px=1280,
            height_px=720,
            frames=36_000,
            tracks=f"tracks/{name}.csv",
            ottrk=f"tracks/{name}.ottrk",
            warnings=(f"films/{name}.mp4: 4 pictures a second: crossings are missed",),
        )
        for number, name in enumerate(films)
    )
    found = []
    for track in range(crossings if films else 0):
        film = rng.randrange(len(films))
        t_s = round(rng.uniform(0, FILM_S), 3)
        line = rng.choice(scene.line)
        label = rng.choices(labels, [6, 2, 3, 30, 2, 4][: len(labels)])[0]
        speed = rng.gauss(42, 9) if label not in ("person", "bicycle") else rng.gauss(8, 2)
        found.append(
            CountedCrossing(
                film=film,
                t_s=t_s,
                seen_s=t_s + 0.1,
                time=counted_films[film].start + timedelta(seconds=t_s),
                line=line.name,
                direction=rng.choice((line.forward_name, line.backward_name)),
                label=label,
                track=track,
                score=0.8,
                position=0.4,
                box=BoundingBox(0.4, 0.4, 0.1, 0.12),
                foot=Point(0.45, 0.52),
                speed_km_h=abs(speed) if ground else None,
                trusted=True,
                light="day",
                validated=validation != NO_PROOF,
            )
        )
    found.sort(key=lambda one: one.time)
    passages = tuple(
        CountedPassage(
            film=one.film,
            t_s=one.t_s,
            time=one.time,
            flow=rng.choice(scene.flow).name,
            label=one.label,
            track=one.track,
            trusted=True,
        )
        for one in found[::2]
    )
    return CountResult(
        films=counted_films,
        scene_name="crossroads",
        scene=scene,
        interval_s=int(INTERVAL.total_seconds()),
        crossings=tuple(found),
        passages=passages,
        intervals=_build_intervals(scene, counted_films, found, passages, untrusted, validation),
        observed_s=FILM_S * len(films),
        untrusted_share=0.125 if untrusted else 0.0,
        untrusted_shares=tuple(UntrustedShare(reason=limit, share=0.1) for limit in untrusted),
        validations=(
            ValidationShare(
                validation=validation, observed_s=FILM_S * len(films), crossings=crossings
            ),
        )
        if films
        else (),
        warnings=(),
        model="nanodet",
        model_sha256="0" * 64,
        version="1.0",
    )


def _build_intervals(
    scene: Scene,
    films: tuple[CountedFilm, ...],
    crossings: Sequence[CountedCrossing],
    passages: Sequence[CountedPassage],
    untrusted: tuple[ViewLimit, ...],
    validation: CountValidation,
) -> tuple[CountInterval, ...]:
    begins = [film.start + number * INTERVAL for film in films for number in range(4)]
    intervals = []
    for begin in begins:
        inside = [one for one in crossings if begin <= one.time < begin + INTERVAL]
        counts = Counter((one.line, one.direction, one.label) for one in inside)
        flows = Counter(
            (one.flow, one.label) for one in passages if begin <= one.time < begin + INTERVAL
        )
        limits = untrusted if begin == begins[-1] else ()
        intervals.append(
            CountInterval(
                begin=begin,
                end=begin + INTERVAL,
                filmed_s=INTERVAL.total_seconds(),
                observed_s=INTERVAL.total_seconds(),
                trusted=not limits,
                untrusted_reasons=limits,
                validation=validation,
                lines=tuple(
                    LineCount(
                        line=line.name,
                        direction=direction,
                        label=label,
                        count=counts[line.name, direction, label],
                        measured=0,
                        mean_speed_km_h=None,
                        v85_km_h=None,
                        trusted=label != "person",
                        untrusted_reasons=("small",) if label == "person" else (),
                    )
                    for line in scene.line
                    for direction in (line.forward_name, line.backward_name)
                    for label in LABELS
                ),
                flows=tuple(
                    FlowCount(
                        flow=flow.name,
                        origin=flow.origin,
                        destination=flow.destination,
                        label=label,
                        count=flows[flow.name, label],
                        trusted=True,
                        untrusted_reasons=(),
                    )
                    for flow in scene.flow
                    for label in LABELS
                ),
            )
        )
    return tuple(intervals)


def grey_jpeg(value: int) -> bytes:
    """Return a picture of one grey."""
    return encode_jpeg(np.full((SIZE_PX[1], SIZE_PX[0], 3), value, np.uint8), 10_000)
