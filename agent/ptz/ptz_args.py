"""The words of the verb `ptz`: what may be asked of a head, and what is told. Pure."""

from typing import Annotated, TypeAlias

import msgspec

from agent.config.names import Name
from agent.ptz.preset_store import Preset
from agent.ptz.requests import AbsoluteMove, ContinuousMove, GotoPreset
from drivers.contracts import Aux, PtzCapabilities


class _HeadArgs(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="do"
):
    head: Name


class _LeaseArgs(_HeadArgs, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="do"):
    """With the token of a lease it is refused where that lease is over; without one the head is
    taken, where it can be.
    """

    token: int | None = None


class PtzListArgs(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="do",
    tag="list",
):
    """Which heads there are, what they can do, and how they are."""


class PtzStatusArgs(_HeadArgs, frozen=True, kw_only=True, tag="status"):
    """Where a head is, and who has it."""


class PtzAcquireArgs(_HeadArgs, frozen=True, kw_only=True, tag="acquire"):
    """Take the head, or prolong one's lease: for `lease_s`, or what the configuration says."""

    lease_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] | None = None


class PtzReleaseArgs(_HeadArgs, frozen=True, kw_only=True, tag="release"):
    """Give the head back: who has it, by the token of his lease."""

    token: int


class PtzStopArgs(_HeadArgs, frozen=True, kw_only=True, tag="stop"):
    """Stop the head: needs neither lease nor token, and ends no lease."""


class PtzMoveArgs(
    ContinuousMove, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="move"
):
    """Move at these shares of the top speeds, -1..1, for `for_s` seconds at the most. Pan is
    positive to the right, tilt upwards, zoom towards tele, focus towards far.
    """

    head: Name
    token: int | None = None


class PtzGotoArgs(AbsoluteMove, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="goto"):
    """Go to a pose: degrees to the right of the head's zero and above the horizon, zoom 0..1."""

    head: Name
    token: int | None = None


class PtzGotoPresetArgs(
    GotoPreset, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="goto_preset"
):
    """Go to a preset."""

    head: Name
    token: int | None = None


class PtzListPresetsArgs(_HeadArgs, frozen=True, kw_only=True, tag="presets"):
    """Which presets a head has."""


class PtzSetPresetArgs(_LeaseArgs, frozen=True, kw_only=True, tag="set_preset"):
    """Remember the present place under a name, instead of what had that name before."""

    preset: Name


class PtzDeletePresetArgs(_HeadArgs, frozen=True, kw_only=True, tag="delete_preset"):
    """Forget a preset."""

    preset: Name


class PtzStartTourArgs(_HeadArgs, frozen=True, kw_only=True, tag="start_tour"):
    """Begin a tour of the configuration. It waits while somebody has the head."""

    tour: Name


class PtzStopTourArgs(_HeadArgs, frozen=True, kw_only=True, tag="stop_tour"):
    """End the tour that runs."""


class PtzSweepArgs(_LeaseArgs, frozen=True, kw_only=True, tag="sweep"):
    """Look all around. The panorama comes as a snapshot, and its hash in the result."""


class PtzFollowArgs(_LeaseArgs, frozen=True, kw_only=True, tag="follow"):
    """Follow a road user of the newest picture, by the number of his track: whoever asks gives the
    head to the tracking for that, and takes it back with any motion.
    """

    track: int


class PtzStopFollowArgs(_HeadArgs, frozen=True, kw_only=True, tag="stop_follow"):
    """Follow nobody."""


class PtzSetAuxArgs(_LeaseArgs, frozen=True, kw_only=True, tag="aux"):
    """Switch the head's wiper, heater or infra-red lamp."""

    aux: Aux
    on: bool


Args: TypeAlias = (
    PtzListArgs
    | PtzStatusArgs
    | PtzAcquireArgs
    | PtzReleaseArgs
    | PtzStopArgs
    | PtzMoveArgs
    | PtzGotoArgs
    | PtzGotoPresetArgs
    | PtzListPresetsArgs
    | PtzSetPresetArgs
    | PtzDeletePresetArgs
    | PtzStartTourArgs
    | PtzStopTourArgs
    | PtzSweepArgs
    | PtzFollowArgs
    | PtzStopFollowArgs
    | PtzSetAuxArgs
)


class LeaseInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The right to move a head, for `left_s` more. `token` goes with what its holder asks next."""

    token: int
    by: str
    role: str
    remaining_s: float


class HeadPosition(msgspec.Struct, frozen=True, kw_only=True):
    """Where a head is, within `error_deg`; 180 means that nobody knows."""

    pan_deg: float
    tilt_deg: float
    zoom: float
    error_deg: float


class HeadInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A head as it is. `abilities` are null until it has answered for the first time; `place` is,
    where it does not answer now, and `error` says why. `preset` is where it rests.
    """

    name: str
    camera: str | None
    capabilities: PtzCapabilities | None
    position: HeadPosition | None
    moving: bool
    settled: bool
    preset: str | None
    tour: str | None
    lease: LeaseInfo | None
    error: str | None


class PanoramaResult(msgspec.Struct, frozen=True, kw_only=True):
    """The picture of a sweep, by the SHA-256 of its snapshot, and of how many it was made.
    `missing` says why there is none of some poses, a line for each.
    """

    camera: str
    sha256: str
    size_bytes: int
    frames: int
    missing: tuple[str, ...] = ()


class PtzResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was asked for: `lease` after what takes or needs the head, `heads` to `list` and
    `where`, `presets`, and the `panorama` of a sweep.
    """

    lease: LeaseInfo | None = None
    heads: tuple[HeadInfo, ...] | None = None
    presets: tuple[Preset, ...] | None = None
    panorama: PanoramaResult | None = None
