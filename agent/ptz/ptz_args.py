"""Arguments and results of the command `ptz`. Pure."""

from typing import Annotated, TypeAlias

import msgspec

from agent.commands.command import CommandArgs
from agent.config.names import Name
from agent.ptz.preset_store import Preset
from agent.ptz.requests import AbsoluteMove, ContinuousMove, GotoPreset
from drivers.contracts import Aux, PtzCapabilities


class _HeadArgs(CommandArgs, frozen=True, kw_only=True, tag_field="do"):
    head: Name


class _LeaseArgs(_HeadArgs, frozen=True, kw_only=True, tag_field="do"):
    """With the token of a lease the command is refused once that lease is over."""

    token: int | None = None


class PtzListArgs(CommandArgs, frozen=True, kw_only=True, tag_field="do", tag="list"):
    """List the heads, with their capabilities and status."""


class PtzStatusArgs(_HeadArgs, frozen=True, kw_only=True, tag="status"):
    """Report the position of a head, and its lease."""


class PtzAcquireArgs(_HeadArgs, frozen=True, kw_only=True, tag="acquire"):
    """Acquire the head, or prolong one's lease: for `lease_s`, or as long as configured."""

    lease_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] | None = None


class PtzReleaseArgs(_HeadArgs, frozen=True, kw_only=True, tag="release"):
    """Release the head: only by the token of one's own lease."""

    token: int


class PtzStopArgs(_HeadArgs, frozen=True, kw_only=True, tag="stop"):
    """Stop the head: needs neither lease nor token, and ends no lease."""


class PtzMoveArgs(
    ContinuousMove, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="move"
):
    """Move at shares of the top speeds, -1..1, for `for_s` seconds at most.

    Pan is positive to the right, tilt upwards, zoom towards tele, focus towards far. Without a
    token the head is acquired, if its lease allows.
    """

    head: Name
    token: int | None = None


class PtzGotoArgs(AbsoluteMove, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="goto"):
    """Go to a pose: degrees to the right of the head's zero and above the horizon, zoom 0..1.

    Without a token the head is acquired, if its lease allows.
    """

    head: Name
    token: int | None = None


class PtzGotoPresetArgs(
    GotoPreset, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="goto_preset"
):
    """Go to a preset. Without a token the head is acquired, if its lease allows."""

    head: Name
    token: int | None = None


class PtzListPresetsArgs(_HeadArgs, frozen=True, kw_only=True, tag="presets"):
    """List the presets of a head."""


class PtzSetPresetArgs(_LeaseArgs, frozen=True, kw_only=True, tag="set_preset"):
    """Store the present position under a name, in place of a preset of that name.

    It does not acquire the head, and is refused while another holds it.
    """

    preset: Name


class PtzDeletePresetArgs(_HeadArgs, frozen=True, kw_only=True, tag="delete_preset"):
    """Delete a preset."""

    preset: Name


class PtzStartTourArgs(_HeadArgs, frozen=True, kw_only=True, tag="start_tour"):
    """Start a configured tour. It waits as long as the head is leased."""

    tour: Name


class PtzStopTourArgs(_HeadArgs, frozen=True, kw_only=True, tag="stop_tour"):
    """Stop the running tour."""


class PtzSweepArgs(_LeaseArgs, frozen=True, kw_only=True, tag="sweep"):
    """Scan all around for a panorama. It is sent as a snapshot, its hash is in the result."""


class PtzFollowArgs(_LeaseArgs, frozen=True, kw_only=True, tag="follow"):
    """Follow a road user of the newest picture, by the number of its track.

    The requester releases the head to the tracker for that, and takes it back with any motion.
    """

    track: int


class PtzStopFollowArgs(_HeadArgs, frozen=True, kw_only=True, tag="stop_follow"):
    """Stop following."""


class PtzSetAuxArgs(_LeaseArgs, frozen=True, kw_only=True, tag="aux"):
    """Switch the head's wiper, heater or infra-red lamp.

    It does not acquire the head, and is refused while another holds it.
    """

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
    """A lease, good for `remaining_s` more. Its holder sends `token` with later commands."""

    token: int
    by: str
    role: str
    remaining_s: float

    def describe(self) -> str:
        """Return the holder, their role and the time left."""
        return f"{self.by} ({self.role}) for {self.remaining_s:.0f} s"


class HeadPosition(msgspec.Struct, frozen=True, kw_only=True):
    """The position of a head, within `error_deg`; 180 means that it is unknown."""

    pan_deg: float
    tilt_deg: float
    zoom: float
    error_deg: float


class HeadInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The status of a head.

    `capabilities` is null until the head has answered for the first time, `position` while it does
    not answer; then `error` has the reason. `preset` is the one that it rests at.
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
    """The panorama of a sweep, by the SHA-256 of its snapshot, and how many frames it shows.

    `missing` has one line for each pose without a frame, with the reason.
    """

    camera: str
    sha256: str
    size_bytes: int
    frames: int
    missing: tuple[str, ...] = ()


class PtzResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The result of a `ptz` command.

    `lease` follows commands that acquire or need the head, `heads` follows `list` and `status`,
    `presets` follows `presets`, and `panorama` follows `sweep`.
    """

    lease: LeaseInfo | None = None
    heads: tuple[HeadInfo, ...] | None = None
    presets: tuple[Preset, ...] | None = None
    panorama: PanoramaResult | None = None
