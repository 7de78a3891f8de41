"""`ptz`: who has a head, where it looks, and what it remembers.

What moves a head may be repeated after a crash: it is bounded by its lease, its expiry and its
longest duration, and who asks for it looks on. A stop is done before all that waits, and takes away
what came before it: a move that was on its way when it came is not made, or ended at once.
"""

import threading
from collections.abc import Callable, Mapping
from typing import Annotated, TypeAlias

import msgspec

from agent.control.command import Course, Later, Order
from agent.control.head import Head
from agent.control.presets import Preset
from agent.control.tours import Tours
from agent.control.wishes import Asker, Drive, Lease, PointAt, Recall, Refused
from agent.names import Name
from drivers.contracts import Aux, PtzAbilities

VERB = "ptz"


class _Of(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="do"):
    head: Name


class _By(_Of, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="do"):
    """With the token of a lease it is refused where that lease is over; without one the head is
    taken, where it can be.
    """

    token: int | None = None


class List(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="do",
    tag="list",
):
    """Which heads there are, what they can do, and how they are."""


class Where(_Of, frozen=True, kw_only=True, tag="where"):
    """Where a head is, and who has it."""


class Take(_Of, frozen=True, kw_only=True, tag="take"):
    """Take the head, or prolong one's lease: for `lease_s`, or what the configuration says."""

    lease_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] | None = None


class Release(_Of, frozen=True, kw_only=True, tag="release"):
    """Give the head back."""

    token: int


class Stop(_Of, frozen=True, kw_only=True, tag="stop"):
    """Stop the head: needs neither lease nor token, and ends no lease."""


class Move(Drive, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="move"):
    """Move at these shares of the top speeds, -1..1, for `for_s` seconds at the most. Pan is
    positive to the right, tilt upwards, zoom towards tele, focus towards far.
    """

    head: Name
    token: int | None = None


class Goto(PointAt, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="goto"):
    """Go to a pose: degrees to the right of the head's zero and above the horizon, zoom 0..1."""

    head: Name
    token: int | None = None


class RecallPreset(Recall, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="recall"):
    """Go to a preset."""

    head: Name
    token: int | None = None


class Presets(_Of, frozen=True, kw_only=True, tag="presets"):
    """Which presets a head has."""


class PresetSet(_By, frozen=True, kw_only=True, tag="preset_set"):
    """Remember the present place under a name, instead of what had that name before."""

    preset: Name


class PresetDelete(_Of, frozen=True, kw_only=True, tag="preset_delete"):
    """Forget a preset."""

    preset: Name


class TourStart(_Of, frozen=True, kw_only=True, tag="tour_start"):
    """Begin a tour of the configuration. It waits while somebody has the head."""

    tour: Name


class TourStop(_Of, frozen=True, kw_only=True, tag="tour_stop"):
    """End the tour that runs."""


class Sweep(_By, frozen=True, kw_only=True, tag="sweep"):
    """Look all around. The panorama comes as a snapshot, and its hash in the result."""


class Switch(_By, frozen=True, kw_only=True, tag="switch"):
    """Switch the head's wiper, heater or infra-red lamp."""

    aux: Aux
    on: bool


Args: TypeAlias = (
    List
    | Where
    | Take
    | Release
    | Stop
    | Move
    | Goto
    | RecallPreset
    | Presets
    | PresetSet
    | PresetDelete
    | TourStart
    | TourStop
    | Sweep
    | Switch
)


class LeaseTold(msgspec.Struct, frozen=True, kw_only=True):
    """The right to move a head, for `left_s` more. `token` goes with what its holder asks next."""

    token: int
    by: str
    role: str
    left_s: float


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a head is, within `error_deg`; 180 means that nobody knows."""

    pan_deg: float
    tilt_deg: float
    zoom: float
    error_deg: float


class HeadTold(msgspec.Struct, frozen=True, kw_only=True):
    """A head as it is. `abilities` are null until it has answered for the first time; `place` is,
    where it does not answer now, and `error` says why. `preset` is where it rests.
    """

    name: str
    camera: str | None
    abilities: PtzAbilities | None
    place: Place | None
    moving: bool
    settled: bool
    preset: str | None
    tour: str | None
    lease: LeaseTold | None
    error: str | None


class Panorama(msgspec.Struct, frozen=True, kw_only=True):
    """The picture of a sweep, by the SHA-256 of its snapshot, and of how many it was made."""

    camera: str
    sha256: str
    size_bytes: int
    pictures: int


class PtzResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was asked for: `lease` after what takes or needs the head, `heads` to `list` and
    `where`, `presets`, and the `panorama` of a sweep.
    """

    lease: LeaseTold | None = None
    heads: tuple[HeadTold, ...] | None = None
    presets: tuple[Preset, ...] | None = None
    panorama: Panorama | None = None


Result: TypeAlias = PtzResult


SweepOf = Callable[
    [Asker, int | None, Callable[[float, str], None], Callable[[Callable[[], Panorama]], None]],
    float,
]
"""Begin a sweep: who asks, his token, what is told of its progress (a share and a sentence), and
what is given the work that makes the picture, or raises Refused. It gives the seconds that it takes
at the most.
"""


class Mounted(msgspec.Struct, frozen=True, kw_only=True):
    """A head, and what is on it: its camera, its tours and its sweep, None where it has none."""

    head: Head
    camera: str | None = None
    tours: Tours | None = None
    sweep: SweepOf | None = None


class PtzVerb:
    """See `agent.control.command.Verb`."""

    name = VERB
    args = Args

    def __init__(self, heads: Mapping[str, Mounted], clock_ns: Callable[[], int]) -> None:
        self._heads = dict(heads)
        self._clock_ns = clock_ns
        self._lock = threading.Lock()
        self._stopped: dict[str, int] = {}

    @property
    def express(self) -> tuple[str, ...]:
        """A head that does not answer holds up no stop but its own."""
        return tuple(self._heads)

    def subject(self, args: Args) -> str:
        """Such as `mast goto`."""
        what: str = type(args).__struct_config__.tag  # type: ignore[assignment]
        return what if isinstance(args, List) else f"{args.head} {what}"

    def is_repeatable(self, args: Args) -> bool:
        """All but what remembers, switches or begins something longer."""
        return not isinstance(
            args, PresetSet | PresetDelete | TourStart | TourStop | Sweep | Switch
        )

    def at_once(self, args: Args) -> str | None:
        """A stop."""
        return args.head if isinstance(args, Stop) else None

    def run(self, order: Order, course: Course) -> PtzResult | Later:
        """Do it."""
        args: Args = order.args
        if isinstance(args, List):
            return PtzResult(heads=tuple(self._told(mounted) for mounted in self._heads.values()))
        mounted = self._mounted(args.head)
        match args:
            case Where():
                return PtzResult(heads=(self._told(mounted),))
            case Stop():
                self._stop(mounted.head, order)
            case Take():
                return self._with(mounted.head.take(order.asker, args.lease_s))
            case Release():
                mounted.head.release(args.token)
            case Presets():
                return PtzResult(presets=mounted.head.presets())
            case PresetDelete():
                mounted.head.preset_delete(args.preset)
            case TourStart() | TourStop():
                _tour(mounted, args)
            case _:
                return self._moved(mounted, args, order, course)
        return PtzResult()

    def _moved(
        self,
        mounted: Mounted,
        args: Move | Goto | RecallPreset | PresetSet | Sweep | Switch,
        order: Order,
        course: Course,
    ) -> PtzResult | Later:
        """What needs the head, and takes it."""
        head, asker = mounted.head, order.asker
        match args:
            case PresetSet():
                head.preset_set(args.preset, asker, args.token)
            case Switch():
                head.switch(args.aux, args.on, asker, args.token)
            case Sweep():
                return self._sweep(mounted, args, order, course)
            case _:
                self._refuse_overtaken(head.name, order)
                lease = head.wish(args, asker, args.token)
                if self._is_overtaken(head.name, order):
                    head.stop(asker)
                return self._with(lease)
        return self._with(head.state().lease)

    def _sweep(self, mounted: Mounted, args: Sweep, order: Order, course: Course) -> Later:
        if mounted.sweep is None:
            raise Refused("unsupported", f"head {args.head!r} has no camera, or no field of view")
        self._refuse_overtaken(args.head, order)

        def finish(work: Callable[[], Panorama]) -> None:
            course.finish(lambda: PtzResult(panorama=work()))

        within_s = mounted.sweep(order.asker, args.token, course.progress, finish)
        if self._is_overtaken(args.head, order):
            mounted.head.stop(order.asker)
        return Later(within_s=within_s)

    def _stop(self, head: Head, order: Order) -> None:
        """First it is noted, then done: what is on its way in another thread meets one or the
        other.
        """
        with self._lock:
            self._stopped[head.name] = max(order.number, self._stopped.get(head.name, 0))
        head.stop(order.asker)

    def _is_overtaken(self, head: str, order: Order) -> bool:
        """Whether a stop came after this order."""
        with self._lock:
            return self._stopped.get(head, 0) > order.number

    def _refuse_overtaken(self, head: str, order: Order) -> None:
        if self._is_overtaken(head, order):
            raise Refused("expired", f"head {head!r} was told to stop after this came in")

    def _mounted(self, name: str) -> Mounted:
        mounted = self._heads.get(name)
        if mounted is None:
            known = ", ".join(sorted(self._heads)) or "none"
            raise Refused("unknown", f"head {name!r}: none of that name; there are: {known}")
        return mounted

    def _with(self, lease: Lease | None) -> PtzResult:
        return PtzResult(lease=self._lease_told(lease))

    def _lease_told(self, lease: Lease | None) -> LeaseTold | None:
        if lease is None:
            return None
        left_s = max(0.0, (lease.expires_ns - self._clock_ns()) / 1e9)
        return LeaseTold(
            token=lease.token,
            by=lease.holder.id,
            role=lease.holder.role,
            left_s=round(left_s, 3),
        )

    def _told(self, mounted: Mounted) -> HeadTold:
        state = mounted.head.state()
        place = None
        if state.position is not None:
            pose = state.position.pose
            place = Place(
                pan_deg=round(pose.pan_deg, 3),
                tilt_deg=round(pose.tilt_deg, 3),
                zoom=round(pose.zoom, 4),
                error_deg=round(state.position.error_deg, 3),
            )
        return HeadTold(
            name=mounted.head.name,
            camera=mounted.camera,
            abilities=mounted.head.abilities,
            place=place,
            moving=state.moving,
            settled=state.settled,
            preset=state.preset,
            tour=state.tour,
            lease=self._lease_told(state.lease),
            error=state.error,
        )


def _tour(mounted: Mounted, args: TourStart | TourStop) -> None:
    if mounted.tours is None or not mounted.tours.names:
        raise Refused("unsupported", f"head {args.head!r} has no tours")
    if isinstance(args, TourStart):
        mounted.tours.start(args.tour)
        mounted.head.resume()
    else:
        mounted.tours.stop()
        mounted.head.wake.set()
