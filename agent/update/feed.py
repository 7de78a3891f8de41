"""The centre's list of releases, and which of them is for this box. Pure.

A feed is a line with the base64 of an Ed25519 signature, and JSON behind it. The signature is over the JSON
exactly as it stands. It decides who takes part and when; what may run is the bundle's own signature.
"""

import base64
import binascii
import hashlib
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agent.update import versions
from agent.update.errors import UpdateError

MOST_BYTES = 262_144
BUNDLE_MOST_BYTES = 2_000_000_000
ALL_PERCENT = 100.0

Version = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class BadFeed(UpdateError):
    """What came is not a feed of the centre; why, in one line."""


class Release(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A bundle to be had. `share_percent` of the boxes may have it, from `not_before` on."""

    version: Version
    compatible: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    url: Annotated[str, msgspec.Meta(pattern=r"^https://[^\s@]+$(?!\n)", max_length=2000)]
    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]
    bytes: Annotated[int, msgspec.Meta(ge=1, le=BUNDLE_MOST_BYTES)]
    share_percent: Annotated[float, msgspec.Meta(ge=0, le=100)]
    not_before: datetime | None = None

    def __post_init__(self) -> None:
        """Refuse what no pattern tells."""
        versions.key(self.version)
        if self.not_before is not None and self.not_before.utcoffset() is None:
            raise ValueError(
                "not_before: without a time zone; allowed: such as 2026-11-25T02:00:00Z"
            )


class Feed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole list."""

    v: Literal[1]
    kind: Literal["vigie-feed"]
    releases: Annotated[tuple[Release, ...], msgspec.Meta(max_length=256)]


class UpdateContext(msgspec.Struct, frozen=True, kw_only=True):
    """The box that asks. `now` is None while its clock is not to be trusted."""

    box: str
    compatible: str
    version: str
    refused: tuple[str, ...]
    now: datetime | None


class FeedDecision(msgspec.Struct, frozen=True, kw_only=True):
    """What is for the box, if anything, and why not the others."""

    release: Release | None
    why: str


_FEED = msgspec.json.Decoder(Feed)


def read(data: bytes, public_key: str) -> Feed:
    """A feed that was signed by the holder of a key, base64 of its 32 bytes. Raises BadFeed."""
    if len(data) > MOST_BYTES:
        raise BadFeed(f"more than {MOST_BYTES} bytes")
    line, _, text = data.partition(b"\n")
    try:
        signature = base64.b64decode(line.strip(), validate=True)
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key, validate=True))
        key.verify(signature, text)
    except (binascii.Error, ValueError) as error:
        raise BadFeed("its first line is not a signature in base64") from error
    except InvalidSignature as error:
        raise BadFeed("not signed with the key of [update]") from error
    try:
        return _FEED.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadFeed(f"signed, and not a feed: {error}") from error


def place_percent(box: str, version: str) -> float:
    """Where a box stands in the queue for a version: 0 up to, not with, 100.

    It is another place for each version, so that not always the same boxes go first; and it does not
    change with the share, so that a larger one only adds boxes.
    """
    digest = hashlib.sha256(f"{version}\0{box}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48 * ALL_PERCENT


def takes_part(box: str, version: str, share_percent: float) -> bool:
    """Whether a box is within the share."""
    return place_percent(box, version) < share_percent


def select_release(feed: Feed, box: UpdateContext) -> FeedDecision:
    """The newest release that is for this box now. It never goes back."""
    ours = [release for release in feed.releases if release.compatible == box.compatible]
    newer = [
        release
        for release in sorted(ours, key=lambda one: versions.key(one.version), reverse=True)
        if not versions.goes_back(box.version, release.version)
        and versions.key(release.version) != versions.key(box.version)
    ]
    if not ours:
        return FeedDecision(release=None, why=f"nothing for {box.compatible}")
    if not newer:
        return FeedDecision(release=None, why=f"nothing newer than {box.version}")
    reasons = []
    for release in newer:
        reason = _not_yet(release, box)
        if reason is None:
            return FeedDecision(release=release, why=f"version {release.version} is for this box")
        reasons.append(f"{release.version}: {reason}")
    return FeedDecision(release=None, why="; ".join(reasons))


def _not_yet(release: Release, box: UpdateContext) -> str | None:
    if release.version in box.refused:
        return "fell back here or was rolled back"
    if not takes_part(box.box, release.version, release.share_percent):
        return f"for {release.share_percent:g} % of the boxes, and not yet for this one"
    if release.not_before is not None:
        if box.now is None:
            return "waits for a clock that can be trusted"
        if box.now < release.not_before:
            return f"not before {release.not_before.isoformat()}"
    return None
