"""Cases of the rules with exact truth, made from the films of the folder `shared`: seeded, the same at each run.

A case is a film, the order in which its pictures are played, and the vehicles that are placed in it. A film of ten
seconds is played to and fro as long as the case lasts: traffic turns at its ends and does not jump. `play` yields the
pictures of a case. A case of a number and a seed does not depend on how many cases there are.
"""

import itertools
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from agent.detection.geometry import angle_between_deg, is_inside
from bench.accuracy import clip_path
from bench.composite import PixelBox, Way, cut_out, find_ways, place, read_film
from drivers.media import NS_PER_S, Frame, Point, Polygon

PlayOrder = Literal["forward", "reversed", "to and fro"]

CASE_FPS = 12.5
"""Pictures a second of a case, or fewer if the film has fewer: a box looks at ten or more."""
EMPTY_S = 4.0
"""Time before the first vehicle is placed: the motion gate learns the background."""
ARRIVAL_S = 2.0
STANDS_S = 40.0
HEIGHTS_PX = ((6, 10), (10, 20), (20, 40), (40, 200))
"""Classes of a placed vehicle by its height; each gets its share of the cases."""
MAX_SHIFT, MAX_PLAIN_SHIFT = 1.2, 3.0
"""Of a placed vehicle across the carriageway, in its own widths: in the way of traffic, and as far as the shoulder."""
DRAWS = 60
"""Places that are tried for one that traffic passes in front of, or drives past."""
MIN_COVERED_ESTIMATE, MAX_COVERED_ESTIMATE = 0.1, 0.5
"""Of the pictures, by the moving shapes alone. A vehicle that is hidden for more of the time is no case."""
MAX_PLAIN_ESTIMATE = 0.01
MIN_WAY_SIZES = 1.5
"""Of a moving shape that is cut out, in its own heights: leaves and shadows move less."""
MAX_HEADING_OFF_DEG = 60.0
MIN_ARRIVAL_PICTURES = 5
"""Of a moving shape before the picture that it is cut from: the way on which it arrives."""
CANDIDATE_STEP = 6
MIN_BEGIN_S = 0.5
MIN_MOVING_S = 1.2
MIN_MOVING_WAY, MIN_MOVING_SIZES = 0.2, 2.5
"""In picture heights and in its own sizes: a vehicle that goes less far is no case of the wrong way."""
QUEUE_MIN_PX = 12
QUEUE_DRAWS = 60
QUEUE_INTERVAL_S = 3.0
QUEUE_STANDS_S = 20.0


class Carriageway(msgspec.Struct, frozen=True):
    """A part of a film's road whose traffic has one direction, as drawn by hand.

    `is_free`: nothing stands there in the film, so that vehicles are placed there, and an event of another one is false.
    """

    name: str
    direction_deg: float
    polygon: Polygon
    is_free: bool = True


class FilmTraffic(msgspec.Struct, frozen=True):
    """A film's size, its pictures a second and their number, and the ways of its moving shapes."""

    size_px: tuple[int, int]
    fps: float
    pictures: int
    ways: tuple[Way, ...]


class PlacedVehicle(msgspec.Struct, frozen=True):
    """A vehicle of the film's picture `cut_index`, and the rectangle of its shape at times of the case, in pixels.

    It is in the picture from the first of the times, moves between them, and stands at the last one.
    """

    cut_index: int
    cut_shape: PixelBox
    way: tuple[tuple[float, PixelBox], ...]

    @property
    def arrival_s(self) -> float:
        """The time from which it stands."""
        return self.way[-1][0]

    @property
    def standing_shape(self) -> PixelBox:
        """The rectangle in which it stands."""
        return self.way[-1][1]

    def shape_at(self, t_s: float) -> PixelBox | None:
        """Return its rectangle at a time, or None if it is not in the picture."""
        if t_s < self.way[0][0]:
            return None
        for (begin_s, begin), (end_s, end) in itertools.pairwise(self.way):
            if t_s < end_s:
                return begin.towards(end, (t_s - begin_s) / (end_s - begin_s))
        return self.standing_shape


class StreetCase(msgspec.Struct, frozen=True, kw_only=True):
    """One case. `number` is its place in the order of its seed; `carriageway` is the one that its rule watches."""

    number: int
    film: str
    carriageway: str
    order: PlayOrder
    length_s: float
    vehicles: tuple[PlacedVehicle, ...] = ()


class Sighting(msgspec.Struct, frozen=True):
    """The middle of a vehicle at a time of the film, and its half size, in 0..1 of the picture.

    `span_s` is the error of the time.
    """

    t_s: float
    at: Point
    radius: float
    span_s: float = 0.0


class MovingVehicle(msgspec.Struct, frozen=True):
    """A vehicle that goes along a carriageway: where it is known to be."""

    film: str
    carriageway: str
    sightings: tuple[Sighting, ...]


class ShownPicture(msgspec.Struct, frozen=True):
    """A picture of a case; `covered` is the share of each placed vehicle that traffic hides, None if it is not there."""

    frame: Frame
    covered: tuple[float | None, ...]


class _Candidate(msgspec.Struct, frozen=True):
    """A moving shape that can be cut out of picture `at` of its way."""

    film: str
    carriageway: Carriageway
    way: Way
    at: int


def _polygon(*corners: tuple[float, float]) -> Polygon:
    return tuple(Point(x, y) for x, y in corners)


_A13_AWAY = Carriageway(
    "away", 65, _polygon((0, 0.94), (0, 0.74), (0.35, 0.36), (0.46, 0.36), (0.43, 0.94))
)
_A13_AWAY_NEAR = Carriageway(
    "away", 65, _polygon((0, 0.94), (0, 0.74), (0.24, 0.48), (0.454, 0.48), (0.43, 0.94))
)
_A13_TOWARDS = Carriageway(
    "towards", 290, _polygon((0.58, 0.94), (0.54, 0.40), (0.63, 0.36), (1, 0.78), (1, 0.94))
)
_A13_TOWARDS_FAR = Carriageway(
    "towards",
    290,
    _polygon((0.58, 0.94), (0.57, 0.50), (0.70, 0.45), (1, 0.78), (1, 0.94)),
    is_free=False,
)
_A13 = (_A13_AWAY, _A13_TOWARDS)
_A13_RIGHT_STANDS = (_A13_AWAY, _A13_TOWARDS_FAR)
_A13_LEFT_STANDS = (msgspec.structs.replace(_A13_AWAY, is_free=False), _A13_TOWARDS)
_A13_CLOSED = tuple(msgspec.structs.replace(one, is_free=False) for one in _A13)
_RESIDENTIAL = Carriageway(
    "road",
    310,
    _polygon((0.46, 0.98), (0.36, 0.50), (0.40, 0.40), (0.50, 0.40), (0.98, 0.90), (0.98, 0.98)),
)
NIGHT_FILM = "tfl_625_201709042122"
FILMS: dict[str, tuple[Carriageway, ...]] = {
    # The barrier is further to the right.
    "tfl_625_201707211410": (_A13_AWAY,),
    "tfl_625_201708101101": _A13,
    "tfl_625_201708311656": _A13_RIGHT_STANDS,
    # In the first third a queue stands in the left lane.
    "tfl_625_201709041716": _A13_CLOSED,
    NIGHT_FILM: _A13_CLOSED,
    "tfl_625_201709140917": _A13,
    "tfl_625_201709141306": _A13,
    "tfl_625_201709171247": _A13_LEFT_STANDS,
    "tfl_625_201709211001": _A13_RIGHT_STANDS,
    # A column creeps in the distance, and played to and fro it stands.
    "tfl_625_201709211506": (_A13_AWAY_NEAR, _A13_TOWARDS),
    "tfl_625_201709280931": _A13_CLOSED,
    "tfl_625_201709301058": _A13,
    "bgs_video02": (
        Carriageway(
            "towards", 207, _polygon((0, 0.60), (0, 0.22), (0.45, 0.09), (0.68, 0.10), (0.35, 0.42))
        ),
        Carriageway(
            "away",
            56,
            _polygon((0.25, 0.98), (0.60, 0.45), (0.80, 0.12), (0.93, 0.25), (0.75, 0.98)),
        ),
    ),
    "ahmetozlu_input_video": (_RESIDENTIAL,),
    "ahmetozlu_vehicle_surveillance": (_RESIDENTIAL,),
    "jamcamdet_raw4": (
        Carriageway(
            "away", 53, _polygon((0, 0.95), (0, 0.80), (0.38, 0.36), (0.48, 0.36), (0.24, 0.95))
        ),
    ),
}
"""The films of roads whose traffic has known directions, with their carriageways."""


def carriageway(film: str, name: str) -> Carriageway:
    """Return the carriageway of this name."""
    return next(one for one in FILMS[film] if one.name == name)


def film_traffic(film: str) -> FilmTraffic:
    """Find the moving shapes of a whole film."""
    decoded = read_film(clip_path(film))
    return FilmTraffic(
        decoded.size_px, decoded.fps, len(decoded.pictures), tuple(find_ways(decoded))
    )


def make_stopped_cases(
    traffic: Mapping[str, FilmTraffic], count: int, seed: int
) -> Iterator[StreetCase]:
    """Yield cases of one vehicle that drives up and stands until the end.

    Each class of heights has its turn, and of its cases each second one is at a place that traffic passes in front of.
    """
    by_class = [_candidates(traffic, *heights) for heights in HEIGHTS_PX]
    filled = [candidates for candidates in by_class if candidates]
    for number in range(count):
        rng = random.Random(f"stopped {seed} {number}")
        is_passed = number % 2 == 1
        wanted = (
            (MIN_COVERED_ESTIMATE, MAX_COVERED_ESTIMATE) if is_passed else (0.0, MAX_PLAIN_ESTIMATE)
        )
        max_shift = MAX_SHIFT if is_passed else MAX_PLAIN_SHIFT
        candidates = filled[number // 2 % len(filled)]
        for _ in range(DRAWS):
            candidate, vehicle = _draw_vehicle(
                rng, candidates, traffic, EMPTY_S + ARRIVAL_S, max_shift
            )
            estimate = _covered_estimate(traffic[candidate.film], vehicle.standing_shape)
            if wanted[0] <= estimate <= wanted[1]:
                break
        yield StreetCase(
            number=number,
            film=candidate.film,
            carriageway=candidate.carriageway.name,
            order="to and fro",
            length_s=vehicle.arrival_s + STANDS_S,
            vehicles=(vehicle,),
        )


def make_queue_cases(
    traffic: Mapping[str, FilmTraffic], count: int, seed: int, standing: int
) -> Iterator[StreetCase]:
    """Yield cases of a number of vehicles that drive up one after the other and stand in one carriageway."""
    candidates = _candidates(traffic, QUEUE_MIN_PX, math.inf)
    for number in range(count):
        rng = random.Random(f"queue of {standing} {seed} {number}")
        vehicles: list[PlacedVehicle] = []
        while len(vehicles) < standing:
            of_film = rng.choice(candidates)
            first = rng.choice(of_film)
            own = [tuple(one for one in of_film if one.carriageway == first.carriageway)]
            vehicles = []
            for _ in range(QUEUE_DRAWS):
                arrival_s = EMPTY_S + ARRIVAL_S + QUEUE_INTERVAL_S * len(vehicles)
                _, vehicle = _draw_vehicle(rng, own, traffic, arrival_s)
                shape = vehicle.standing_shape
                if len(vehicles) < standing and not any(
                    shape.overlaps(other.standing_shape) for other in vehicles
                ):
                    vehicles.append(vehicle)
        yield StreetCase(
            number=number,
            film=first.film,
            carriageway=first.carriageway.name,
            order="to and fro",
            length_s=vehicles[-1].arrival_s + QUEUE_STANDS_S,
            vehicles=tuple(vehicles),
        )


def make_wrong_way_cases(
    traffic: Mapping[str, FilmTraffic], count: int, seed: int
) -> Iterator[tuple[StreetCase, MovingVehicle]]:
    """Yield cases of one vehicle that drives back the way that a lawful one came, through the traffic of its film."""
    drives = [
        (film, vehicle, way)
        for film in sorted(FILMS)
        for vehicle, way in _moving_ways(film, traffic[film])
        if film != NIGHT_FILM
    ]
    for number in range(count):
        rng = random.Random(f"wrong way {seed} {number}")
        film, vehicle, way = rng.choice(drives)
        fps, (width, height) = traffic[film].fps, traffic[film].size_px
        at = rng.choice([n for n in range(len(way.shapes)) if way.is_seen[n]])
        shift_px = rng.uniform(-MAX_SHIFT, MAX_SHIFT) / 2 * way.shapes[at].w
        # Forward alone: to and fro the lawful traffic would be against the direction too.
        spare_s = (traffic[film].pictures - len(way.shapes)) / fps
        begin_s = rng.uniform(min(MIN_BEGIN_S, spare_s), spare_s)
        drive = tuple(
            (begin_s + n / fps, shape.shifted(shift_px * shape.w / way.shapes[at].w))
            for n, shape in enumerate(reversed(way.shapes))
        )
        case = StreetCase(
            number=number,
            film=film,
            carriageway=vehicle.carriageway,
            order="forward",
            length_s=math.inf,
            vehicles=(PlacedVehicle(way.begin_index + at, way.shapes[at], drive),),
        )
        sightings = tuple(_sighting(t_s, shape, (width, height)) for t_s, shape in drive)
        yield case, msgspec.structs.replace(vehicle, sightings=sightings)


def moving_vehicles(film: str, traffic: FilmTraffic) -> Iterator[MovingVehicle]:
    """Yield the vehicles of a film whose way is long enough to tell their direction."""
    for vehicle, _ in _moving_ways(film, traffic):
        yield vehicle


def _moving_ways(film: str, traffic: FilmTraffic) -> Iterator[tuple[MovingVehicle, Way]]:
    for way in traffic.ways:
        on_lanes = [carriageway_of(film, shape, traffic.size_px) for shape in way.shapes]
        lane = on_lanes[len(on_lanes) // 2]
        inside = [n for n, one in enumerate(on_lanes) if one is not None and one == lane]
        if lane is None or not is_lawful(way, lane):
            continue
        first, last = way.shapes[inside[0]], way.shapes[inside[-1]]
        way_px = math.dist(first.middle, last.middle)
        if (
            inside[-1] - inside[0] >= MIN_MOVING_S * traffic.fps
            and way_px >= MIN_MOVING_WAY * traffic.size_px[1]
            and way_px >= MIN_MOVING_SIZES * max(first.h, first.w, last.h, last.w)
        ):
            sightings = tuple(
                _sighting((way.begin_index + n) / traffic.fps, shape, traffic.size_px)
                for n, shape in enumerate(way.shapes)
            )
            yield MovingVehicle(film, lane.name, sightings), way


def _sighting(t_s: float, shape: PixelBox, size_px: tuple[int, int]) -> Sighting:
    width, height = size_px
    middle = Point(shape.middle[0] / width, shape.middle[1] / height)
    return Sighting(t_s, middle, max(shape.w / width, shape.h / height) / 2)


def reversed_vehicle(vehicle: MovingVehicle, film_s: float) -> MovingVehicle:
    """Return a vehicle as the film shows it backwards; `film_s` is the time of the film's last picture."""
    sightings = tuple(
        msgspec.structs.replace(one, t_s=film_s - one.t_s) for one in reversed(vehicle.sightings)
    )
    return msgspec.structs.replace(vehicle, sightings=sightings)


def plain_case(film: str, order: PlayOrder) -> StreetCase:
    """Return the case of a whole film, forward or reversed."""
    return StreetCase(number=0, film=film, carriageway="", order=order, length_s=math.inf)


def play(case: StreetCase) -> Iterator[ShownPicture]:
    """Yield the pictures of a case, at the time of the case."""
    film = read_film(clip_path(case.film))
    step = max(1, round(film.fps / CASE_FPS))
    cuts = [cut_out(film, one.cut_index, one.cut_shape) for one in case.vehicles]
    for seq, index in enumerate(_picture_order(case.order, len(film.pictures), step)):
        t_s = seq * step / film.fps
        if t_s > case.length_s:
            return
        planes = film.pictures[index]
        covered: list[float | None] = [None] * len(cuts)
        shapes = [vehicle.shape_at(t_s) for vehicle in case.vehicles]
        # The far ones first: a near one hides a far one.
        there = [(shape.bottom, n, shape) for n, shape in enumerate(shapes) if shape is not None]
        for _, number, shape in sorted(there, key=lambda one: one[:2]):
            planes, covered[number] = place(film, index, planes, cuts[number], shape)
        y, u, v = planes
        frame = Frame(seq=seq, t_ns=round(t_s * NS_PER_S), y=y, u=u, v=v)
        yield ShownPicture(frame, tuple(covered))


def _picture_order(order: PlayOrder, count: int, step: int) -> Iterator[int]:
    """Yield the indices of the film's pictures; to and fro has no end."""
    if order == "forward":
        yield from range(0, count, step)
    elif order == "reversed":
        yield from range(count - 1, -1, -step)
    else:
        turn = 2 * (count - 1)
        for position in itertools.count(0, step):
            yield min(position % turn, turn - position % turn)


def carriageway_of(film: str, shape: PixelBox, size_px: tuple[int, int]) -> Carriageway | None:
    """Return the carriageway that both ends of a shape's bottom edge are on."""
    width, height = size_px
    ends = [Point(x / width, shape.bottom / height) for x in (shape.x, shape.x + shape.w)]
    return next(
        (one for one in FILMS[film] if all(is_inside(one.polygon, end) for end in ends)), None
    )


def _candidates(
    traffic: Mapping[str, FilmTraffic], min_px: float, max_px: float
) -> list[tuple[_Candidate, ...]]:
    """Return the moving shapes of these heights that are whole on a carriageway, by film."""
    found = []
    for film in sorted(FILMS):
        size_px = traffic[film].size_px
        of_film = tuple(
            _Candidate(film, lane, way, at)
            for way in traffic[film].ways
            for at in range(MIN_ARRIVAL_PICTURES, len(way.shapes), CANDIDATE_STEP)
            if way.is_seen[at]
            and min_px <= way.shapes[at].h < max_px
            and (lane := carriageway_of(film, way.shapes[at], size_px)) is not None
            and lane.is_free
            and is_lawful(way, lane)
        )
        if of_film:
            found.append(of_film)
    return found


def is_lawful(way: Way, lane: Carriageway) -> bool:
    """Whether a moving shape goes far enough, along its carriageway, to be a vehicle."""
    (x0, y0), (x1, y1) = way.shapes[0].middle, way.shapes[-1].middle
    heading_deg = math.degrees(math.atan2(y0 - y1, x1 - x0))
    return (
        math.hypot(x1 - x0, y1 - y0) >= MIN_WAY_SIZES * way.shapes[-1].h
        and angle_between_deg(heading_deg, lane.direction_deg) <= MAX_HEADING_OFF_DEG
    )


def _draw_vehicle(
    rng: random.Random,
    candidates: Sequence[Sequence[_Candidate]],
    traffic: Mapping[str, FilmTraffic],
    arrival_s: float,
    max_shift: float = MAX_SHIFT,
) -> tuple[_Candidate, PlacedVehicle]:
    """Return a vehicle that arrives on its own way, shifted across its carriageway, and slows down."""
    while True:
        candidate = rng.choice(rng.choice(candidates))
        film, way = traffic[candidate.film], candidate.way
        cut_shape = way.shapes[candidate.at]
        shift_px = rng.uniform(-max_shift, max_shift) * cut_shape.w
        standing = cut_shape.shifted(shift_px)
        if carriageway_of(candidate.film, standing, film.size_px) == candidate.carriageway:
            break
    pictures = min(candidate.at, round(film.fps * ARRIVAL_S / 2))
    # Half of the arrival's time at its own speed would be as far: it brakes evenly.
    steps = [
        (
            arrival_s - ARRIVAL_S * (1 - share),
            way.shapes[candidate.at - round(pictures * (1 - share) ** 2)].shifted(shift_px),
        )
        for share in (0, 0.2, 0.4, 0.6, 0.8, 1)
    ]
    return candidate, PlacedVehicle(way.begin_index + candidate.at, cut_shape, tuple(steps))


def _covered_estimate(film: FilmTraffic, standing: PixelBox) -> float:
    """Return the share of the pictures in which a moving shape that is nearer overlaps a rectangle."""
    covered: set[int] = set()
    for way in film.ways:
        for offset, shape in enumerate(way.shapes):
            if shape.bottom > standing.bottom and shape.overlaps(standing):
                covered.add(way.begin_index + offset)
    last = max((way.begin_index + len(way.shapes) for way in film.ways), default=1)
    return len(covered) / last
