"""Structs of a public declaration, part of the wire contract. Pure."""

import msgspec

from agent.base.count_proof import CountValidation
from agent.base.model import Label
from drivers.int64 import Int64


class DeclaredCamera(msgspec.Struct, frozen=True, kw_only=True):
    """One camera of a declaration. `owner` and `purpose` are of the institution that lends it,
    null if it is the city's own; `viewers` are the persons that the institution permits, null if it
    leaves that to the city.

    `on_ptz_head`: it is mounted on a pan-tilt head. `masked`: its scene hides parts of the picture.
    `retention_h` is how long its footage is kept, null if there is none. `onvif_topics` are the
    camera's own events that the box receives. `rules` is the number of lines and zones in which
    it counts or reports, `trusted_rules` of those with enough pixels per metre for all that they count, null if the
    ground is not calibrated and too few cars were seen to estimate them, or no picture has come yet.
    `countable_ratio` is the part of the last day, or of the time since the agent started, for which its counts are
    trusted, 0..1, null if that is not known. `validation` says for each light how right its counts are, or that this was not
    validated; it is empty for a camera without lines and zones. `view_of` is the fisheye camera of whose picture this one
    shows a part, null if it has pictures of its own. For a camera that was removed and still has footage,
    `detection` and `recorded` are false.
    """

    name: str
    owner: str | None
    purpose: str | None
    viewers: tuple[str, ...] | None
    on_ptz_head: bool
    detection: bool
    recorded: bool
    masked: bool
    retention_h: float | None
    onvif_topics: tuple[str, ...] = ()
    rules: Int64 = 0
    trusted_rules: Int64 | None = None
    countable_ratio: float | None = None
    validation: tuple[CountValidation, ...] = ()
    view_of: str | None = None


class RuleCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Lines and zones of a camera, and those with enough pixels per metre for all their labels; None if unknown.

    `countable_ratio`, `validation`: see DeclaredCamera.
    """

    total: int = 0
    trusted: int | None = None
    countable_ratio: float | None = None
    validation: tuple[CountValidation, ...] = ()


class DeclaredPurposes(msgspec.Struct, frozen=True, kw_only=True):
    """The purposes of the cameras in each language, null if the configuration does not state them."""

    fr: str | None = None
    ar: str | None = None
    en: str | None = None


class DeclaredController(msgspec.Struct, frozen=True, kw_only=True):
    """The controller of the cameras, as the configuration states it; null if it does not.

    `rights_contact` is for the rights of data subjects, `cndp_receipt` the number of the declaration's receipt or of
    the authorization, `page` the address of the whole declaration.
    """

    name: str | None = None
    contact: str | None = None
    purposes: DeclaredPurposes = DeclaredPurposes()
    cndp_receipt: str | None = None
    rights_contact: str | None = None
    page: str | None = None


class DeclarationData(msgspec.Struct, frozen=True, kw_only=True):
    """Use of cameras and footage, for the public. `detects` lists all labels that it distinguishes. `joined_cameras` are
    those on the pole of the box whose tracks are joined; no other track continues beyond one camera's picture, and none
    beyond the pole.

    `event_retention_days` is how long the footage around an event is kept, `max_retention_days` the
    limit of any configuration. Only `recipients` can decrypt the footage; if there are none, it is
    stored unencrypted. `public_key`: see OnlineStatus. `trusts_test_authority` is true if the box
    installs updates of the authority that was made for tests. `commands_authenticated`: see OnlineStatus.
    """

    site: str
    detects: tuple[Label, ...]
    cameras: tuple[DeclaredCamera, ...]
    event_retention_days: float
    max_retention_days: Int64
    recipients: tuple[str, ...]
    public_key: str
    software: str
    trusts_test_authority: bool
    commands_authenticated: bool = False
    joined_cameras: tuple[str, ...] = ()
    controller: DeclaredController = DeclaredController()
