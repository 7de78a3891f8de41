"""Result of `vigie count`: one value, from which tables and report are written. Pure.

`count.json` is this value as JSON: `msgspec.json.decode(content, type=CountResult)` reads it. Points and bounding boxes
are in 0..1 of the picture as a player shows it. Every time has its offset from UTC. The value does not depend on the
machine, on the number of jobs or on how often the run was stopped: the same films and arguments give the same bytes.

The tracks are not in it, because a day of film has millions of rows: `CountedFilm.tracks` names the file of each film,
and `centre.count.track_file.read_tracks` reads one, row by row.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from agent.base.count_proof import CountValidation
from agent.base.model import BoundingBox, Label, SpeedCounts
from agent.base.speed_bands import speed_band, speed_counts
from agent.base.view_condition import Light, ViewLimit
from agent.detection.ground_marks import GeoPosition
from agent.detection.scene import Scene
from drivers.media import Point

StartSource = Literal["given", "sequence", "name", "metadata"]
"""How the start of a film is known.

given     it is the first film, and --start is its start
sequence  it begins when the film before it ends
name      from the film's name, by --name-pattern
metadata  from the film's own creation time
"""


class CountedFilm(msgspec.Struct, frozen=True, kw_only=True):
    """One film. `name` is its file's name without suffix, with a number if another film has the same: unique here.

    `duration_s` is its length by its header, `played_s` the time of its last picture: less if the file is cut.
    `frames` are the pictures that were searched, at most `film_player.DETECT_FPS` a second.
    `tracks` is the path of its tracks from the folder of the result, `ottrk` that for OTAnalytics.
    """

    name: str
    path: str
    """As it was given or found in a folder that was given."""
    sha256: str
    start: datetime
    start_source: StartSource
    duration_s: float
    played_s: float
    fps: float
    """Pictures a second by its header: the mean, if the rate is variable."""
    width_px: int
    height_px: int
    frames: int
    tracks: str
    ottrk: str
    warnings: tuple[str, ...] = ()
    """A sentence in English for each reason why road users are missed in it. It begins with the path of the film."""

    @property
    def end(self) -> datetime:
        """The time at which it ends, by its header."""
        return self.start + timedelta(seconds=self.duration_s)


class FilmCrossing(msgspec.Struct, frozen=True, kw_only=True):
    """One crossing of a line by one road user, as far as its film alone has it.

    `t_s` is the time in the film at which the centre of the bounding box was on the line. `box` is the bounding box at
    `seen_s`, the picture in which the crossing became certain, up to some seconds later. `track` is the id in the film's
    tracks.
    """

    t_s: float
    seen_s: float
    line: str
    direction: str
    """One of the two names of the line's directions."""
    label: Label
    track: int
    score: float
    position: float
    """The point at which the line was crossed: 0 at its `from`, 1 at its `to`."""
    box: BoundingBox
    x_m: float | None = None
    y_m: float | None = None
    """The middle of the lower edge of the box on the ground, in metres of the scene's `[ground]`; None without one, or if
    it is not in the picture."""
    speed_km_h: float | None = None
    speed_error_km_h: float | None = None
    """Standard deviation of the speed."""


class CountedCrossing(FilmCrossing, frozen=True, kw_only=True):
    """One crossing in the result. `film` is the index in `CountResult.films`.

    `time` is `t_s` with the film's start, and `foot` the middle of the lower edge of the box.
    """

    film: int
    time: datetime
    foot: Point
    geo: GeoPosition | None = None
    """The foot in degrees, WGS 84; None if the marks of `[ground]` have no positions."""
    trusted: bool
    untrusted_reasons: tuple[ViewLimit, ...] = ()
    light: Light
    """That of its minute."""
    validated: bool
    """Whether the error of the counts of its minute was measured."""


class CountedPassage(msgspec.Struct, frozen=True, kw_only=True):
    """One road user of a turning flow, at the time at which it reached the flow's `to`, or up to some seconds later."""

    film: int
    t_s: float
    time: datetime
    flow: str
    label: Label
    track: int
    trusted: bool
    untrusted_reasons: tuple[ViewLimit, ...] = ()


class LineCount(msgspec.Struct, frozen=True, kw_only=True):
    """Crossings of one line in one direction by one class in one interval; 0 if there were none.

    `mean_speed_km_h` is that of the `measured` crossings, whose speed is known. `v85_km_h` is None of fewer than 50
    motor vehicles.
    """

    line: str
    direction: str
    label: Label
    count: int
    measured: int
    mean_speed_km_h: float | None
    v85_km_h: float | None
    trusted: bool
    untrusted_reasons: tuple[ViewLimit, ...]


class FlowCount(
    msgspec.Struct, frozen=True, kw_only=True, rename={"origin": "from", "destination": "to"}
):
    """Road users of one class in one cell of the matrix of turning flows in one interval; 0 if there were none."""

    flow: str
    origin: str
    destination: str
    label: Label
    count: int
    trusted: bool
    untrusted_reasons: tuple[ViewLimit, ...]


class CountInterval(msgspec.Struct, frozen=True, kw_only=True):
    """One interval of the clock of which some time is in a film. Intervals are in order; those without film are left out.

    `end` is exclusive. Of the interval `filmed_s` are in the films, and `observed_s` of these were searched. Counts are
    those of the filmed time: they are not extrapolated.
    `lines` has each line, direction and class of the scene, in its order; `flows` each flow and class.
    """

    begin: datetime
    end: datetime
    filmed_s: float
    observed_s: float
    trusted: bool
    untrusted_reasons: tuple[ViewLimit, ...]
    """Limits of the view in a tenth or more of the observed time. A class that is too small has its own in its count."""
    validation: CountValidation | None
    """How right the crossings are: the weakest in a tenth or more of the observed time. None if nothing was observed."""
    lines: tuple[LineCount, ...]
    flows: tuple[FlowCount, ...]


class UntrustedShare(msgspec.Struct, frozen=True, kw_only=True):
    """Share of the observed time, 0..1, in minutes whose counts are not to be trusted for one reason."""

    reason: ViewLimit
    share: float


class ValidationShare(msgspec.Struct, frozen=True, kw_only=True):
    """Observed time whose crossings are right in the same measure, and these crossings."""

    validation: CountValidation
    observed_s: float
    crossings: int


class CountResult(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was counted. Films, crossings and passages are in the order of their times.

    `untrusted_share` is that of all reasons together, `untrusted_shares` those of each: a minute may have several.
    """

    films: tuple[CountedFilm, ...]
    scene_name: str
    """The name of the scene's file, without its suffix."""
    scene: Scene
    interval_s: int
    crossings: tuple[CountedCrossing, ...]
    passages: tuple[CountedPassage, ...]
    intervals: tuple[CountInterval, ...]
    observed_s: float
    untrusted_share: float
    untrusted_shares: tuple[UntrustedShare, ...]
    validations: tuple[ValidationShare, ...]
    """How right the crossings are, day before night. Passages of flows are not validated."""
    warnings: tuple[str, ...]
    """Of the scene and the whole run; each film has its own."""
    model: str
    model_sha256: str
    version: str
    """Of Vigie."""

    @property
    def is_measured(self) -> bool:
        """Whether the scene has a calibrated ground, so that speeds are measured."""
        return self.scene.ground is not None


def crossing_speeds(crossings: Iterable[CountedCrossing]) -> SpeedCounts:
    """Return the speeds of crossings by band of 10 km/h, with V85."""
    bands: dict[Label, Counter[int]] = {}
    for one in crossings:
        if one.speed_km_h is not None:
            bands.setdefault(one.label, Counter())[speed_band(one.speed_km_h)] += 1
    return speed_counts(bands)
