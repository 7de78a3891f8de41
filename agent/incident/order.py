"""An incident's order: its fields, its parsing, and the boxes that it is for. Pure.

It is published retained on `vigie/v1/incident/<id>`, so that a box that was away gets it when it is back. A newer
`revision` of an id replaces the one before.
"""

from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Annotated, TypeAlias, TypeVar

import msgspec

from agent.authority.control_authority import ControlAuthority
from agent.authority.refusal import RefusedMessage
from agent.base import checked_convert
from agent.base.control_role import ControlRole
from agent.base.errors import UserError
from agent.base.json_decode import MalformedJson, decode_any_json
from agent.commands.command import CommandId, CommandRole, RequesterId, truncate
from agent.commands.requester import Requester, requester_of_certificate
from agent.config.control import Action, ControlConfig
from agent.config.names import CaseText, Name
from agent.config.recording import MAX_AGE_DAYS

MAX_ORDER_BYTES = 32_768
MAX_DURATION = timedelta(hours=24)
"""From the issue of a revision to its end. A newer revision may extend the incident by as much again."""
MAX_HEADS = 64
MAX_REVISION = 1_000_000
MIN_YEAR, MAX_YEAR = 2000, 2199
"""No zone and no duration leads out of the calendar."""

OrderT = TypeVar("OrderT", bound="IncidentOrder")
UtcTime = Annotated[datetime, msgspec.Meta(tz=True)]
Site = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class Addressees(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The boxes that an order is for: all, or those with one of these ids, sites or groups."""

    all: bool = False
    boxes: Annotated[tuple[Name, ...], msgspec.Meta(max_length=256)] = ()
    sites: Annotated[tuple[Site, ...], msgspec.Meta(max_length=64)] = ()
    groups: Annotated[tuple[Name, ...], msgspec.Meta(max_length=64)] = ()

    def include(self, box: str, site: str, groups: Collection[str]) -> bool:
        """Return whether a box is among them."""
        return (
            self.all
            or box in self.boxes
            or site in self.sites
            or not set(groups).isdisjoint(self.groups)
        )


class FootageOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Hold the footage of all cameras from `before_min` minutes before the begin until the end of the incident.

    The holds end after `days`, by default after `hold.command_days` of the box; longer needs two signatures.
    """

    before_min: Annotated[float, msgspec.Meta(ge=0, le=1440)] = 10.0
    days: Annotated[float, msgspec.Meta(gt=0, le=MAX_AGE_DAYS)] | None = None


class PresetOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A head goes to a preset. Without a `box` it is for each box, without a `head` for each head there.

    Of several that match the one with more names counts.
    """

    preset: Name
    box: Name | None = None
    head: Name | None = None


class HeadsOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Lease the heads for the signer, in a role: the box's own tours and tracking wait until the end.

    `presets` are taken once, when the lease is granted.
    """

    role: CommandRole = "incident"
    presets: Annotated[tuple[PresetOrder, ...], msgspec.Meta(max_length=MAX_HEADS)] = ()

    def preset_of(self, box: str, head: str) -> str | None:
        """Return the preset for a head of a box, or None."""
        matching = [
            order
            for order in self.presets
            if order.box in (None, box) and order.head in (None, head)
        ]
        best = max(
            matching,
            key=lambda order: (order.box is not None) + (order.head is not None),
            default=None,
        )
        return None if best is None else best.preset


class PicturesOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Send a picture of each camera every `every_s` seconds, of at most `max_bytes`.

    All cameras of a box together send `rate_kbit_s` at most: the pictures come less often then.
    """

    every_s: Annotated[float, msgspec.Meta(ge=2, le=3600)] = 10.0
    max_bytes: Annotated[int, msgspec.Meta(ge=4_000, le=20_000)] = 15_000
    rate_kbit_s: Annotated[int, msgspec.Meta(ge=8, le=10_000)] = 64


class RatesOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Raise the frame rate and the bit rate of the cameras that can change them while they run. None is lowered."""

    fps: Annotated[float, msgspec.Meta(gt=0, le=60)] | None = None
    bitrate_kbit_s: Annotated[int, msgspec.Meta(ge=64, le=25_000)] | None = None


class IncidentOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One revision of an incident. `issued` and `ends` are RFC 3339, at most a day apart.

    With `ended` the incident is over. A part that is left out is not ordered.
    """

    id: CommandId
    revision: Annotated[int, msgspec.Meta(ge=1, le=MAX_REVISION)]
    issued: UtcTime
    ends: UtcTime
    to: Addressees
    case: CaseText | None = None
    ended: bool = False
    footage: FootageOrder | None = None
    heads: HeadsOrder | None = None
    pictures: PicturesOrder | None = None
    rates: RatesOrder | None = None

    def __post_init__(self) -> None:
        """Raise ValueError if the fields contradict each other."""
        for name, time in (("issued", self.issued), ("ends", self.ends)):
            if not MIN_YEAR < time.year < MAX_YEAR:
                raise ValueError(f"{name}: allowed: a year after {MIN_YEAR} and before {MAX_YEAR}")
        duration = self.ends - self.issued
        if not timedelta(0) < duration <= MAX_DURATION:
            raise ValueError(
                f"ends: {duration} after issued; allowed: more than 0, at most {MAX_DURATION}"
            )


def held_from_as_early(order: IncidentOrder, previous: IncidentOrder) -> IncidentOrder:
    """Return a revision whose footage is held from as early as in the one before: no revision shortens a hold."""
    if order.footage is None or previous.footage is None:
        return order
    before_min = max(order.footage.before_min, previous.footage.before_min)
    footage = msgspec.structs.replace(order.footage, before_min=before_min)
    return msgspec.structs.replace(order, footage=footage)


class UnsignedIncidentOrder(IncidentOrder, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """On `vigie/v1/incident/<id>`, retained, for boxes without `control.ca`.

    `by` and `role` are of the person who ordered it. A box with `control.ca` takes the signed form only, in which
    they are the signer's.
    """

    by: RequesterId
    role: CommandRole


class SignedOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order and its signers, one or two, the one that it is executed for first."""

    order: IncidentOrder
    signers: tuple[Requester, ...]


class MalformedOrder(Exception):
    """An order cannot be taken: `str(error)` says why in one line."""


def parse_unsigned_order(payload: bytes) -> SignedOrder:
    """Parse an order without a signature. Raises: MalformedOrder."""
    if len(payload) > MAX_ORDER_BYTES:
        raise MalformedOrder(f"incident: {len(payload)} bytes; allowed: {MAX_ORDER_BYTES}")
    try:
        decoded = decode_any_json(payload)
    except MalformedJson as error:
        raise MalformedOrder(f"incident: not JSON: {error}") from error
    unsigned = _convert(decoded, UnsignedIncidentOrder)
    fields = {name: getattr(unsigned, name) for name in IncidentOrder.__struct_fields__}
    return SignedOrder(
        order=IncidentOrder(**fields),
        signers=(Requester(id=unsigned.by, role=unsigned.role),),
    )


def order_from_claims(claims: object) -> IncidentOrder:
    """Return the order in the claims of a verified message. Raises: MalformedOrder."""
    return _convert(claims, IncidentOrder)


def _convert(decoded: object, order_type: type[OrderT]) -> OrderT:
    try:
        return checked_convert.convert(decoded, order_type, "incident")
    except UserError as error:
        raise MalformedOrder(truncate(str(error))) from error


ORDERING_ROLES: tuple[ControlRole, ...] = ("operator", "incident", "supervisor")
"""Roles whose certificates may order an incident. Its parts need the permissions of the role on each camera."""


class OrderReader(msgspec.Struct, frozen=True):
    """Reads the orders of a broker.

    `read` verifies and parses an order, or raises MalformedOrder. `is_signed`: the broker cannot have made it.
    """

    read: Callable[[bytes], SignedOrder]
    is_signed: bool


def make_order_reader(authority: ControlAuthority | None) -> OrderReader:
    """Return the reader of a box, whose orders are signed if it has an authority."""
    if authority is None:
        return OrderReader(parse_unsigned_order, is_signed=False)

    def read(payload: bytes) -> SignedOrder:
        try:
            message = authority.verify(payload, "vigie-incident+jws", roles=ORDERING_ROLES)
        except RefusedMessage as error:
            raise MalformedOrder(f"incident: {error.reason}: {error}") from error
        return SignedOrder(
            order=order_from_claims(message.claims),
            signers=tuple(
                requester_of_certificate(signer.name, signer.role) for signer in message.signers
            ),
        )

    return OrderReader(read, is_signed=True)


Permits: TypeAlias = Callable[[Requester, Action, str | None], bool]
"""Returns whether a requester may do an action with a camera, or with the box if that is None."""


def permits_by(control: ControlConfig) -> Permits:
    """Return the permissions of a configuration. A requester without a certificate may do all: a bench."""

    def permits(requester: Requester, action: Action, camera: str | None) -> bool:
        role = requester.certificate_role
        cameras = () if camera is None else (camera,)
        return role is None or control.permits(role, action, cameras)

    return permits
