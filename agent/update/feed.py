"""The centre's signed list of releases, and the selection for one box. Pure.

A feed is a line with the base64 of an Ed25519 signature, followed by JSON; the signature covers the JSON byte for
byte. It decides which boxes update and when. What may run is decided by the bundle's own signature.

`issued` is the feed's number: a box refuses a feed with an older one than it has seen, so that a replayed feed offers no
withdrawn release. A date in place of a count needs no memory at the centre, and a date far ahead, after which no other feed
would count, is seen for what it is. `expires` bounds for how long a feed may be replayed to a box that has seen no newer one.
"""

import base64
import binascii
import hashlib
from datetime import datetime, timedelta
from typing import Annotated, Literal

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agent.base.json_decode import JsonDecoder, MalformedJson
from agent.base.seen_feed import FeedTime
from agent.base.sha256 import Sha256
from agent.config.names import HttpsUrl
from agent.update import versions
from agent.update.errors import UpdateError

MAX_FEED_BYTES = 262_144
MAX_BUNDLE_BYTES = 2_000_000_000
MAX_VALIDITY = timedelta(days=90)
MAX_AHEAD = timedelta(days=1)
"""Of the box's clock: by this much that of the machine which signs feeds may be ahead."""
ALL_PERCENT = 100.0

Version = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class BadFeed(UpdateError):
    """The response is not a feed of the centre."""


class ExpiredFeed(BadFeed):
    """The feed is the newest one that the box has seen, and has expired."""


class FeedRelease(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A released bundle, for `rollout_percent` of the boxes from `not_before` on."""

    version: Version
    compatible: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    url: HttpsUrl
    sha256: Sha256
    size_bytes: Annotated[int, msgspec.Meta(ge=1, le=MAX_BUNDLE_BYTES)]
    rollout_percent: Annotated[float, msgspec.Meta(ge=0, le=100)]
    not_before: FeedTime | None = None

    def __post_init__(self) -> None:
        """Raise ValueError if the version is not valid."""
        versions.version_key(self.version)


class Feed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All releases, as of `issued`; not valid any more from `expires` on."""

    v: Literal[1]
    kind: Literal["vigie-feed"]
    issued: FeedTime
    expires: FeedTime
    releases: Annotated[tuple[FeedRelease, ...], msgspec.Meta(max_length=256)]

    def __post_init__(self) -> None:
        """Raise ValueError if it is valid for too long, or never."""
        if not timedelta(0) < self.expires - self.issued <= MAX_VALIDITY:
            raise ValueError(
                f"expires = {self.expires.isoformat()}: allowed: after `issued`, by {MAX_VALIDITY.days} days at most"
            )


class UpdateContext(msgspec.Struct, frozen=True, kw_only=True):
    """The box to select for. `now` is None while its clock cannot be trusted."""

    box_id: str
    compatible: str
    version: str
    refused_versions: tuple[str, ...]
    now: datetime | None


class FeedDecision(msgspec.Struct, frozen=True, kw_only=True):
    """The selected release, if any, and why the others were not selected."""

    release: FeedRelease | None
    reason: str


_FEED_DECODER = JsonDecoder(Feed)


def verify_feed(data: bytes, public_key: str) -> Feed:
    """Verify and decode a feed. `public_key` is the base64 of 32 bytes. Raises: BadFeed."""
    if len(data) > MAX_FEED_BYTES:
        raise BadFeed(f"more than {MAX_FEED_BYTES} bytes")
    signature_line, _, body = data.partition(b"\n")
    try:
        signature = base64.b64decode(signature_line.strip(), validate=True)
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key, validate=True))
        key.verify(signature, body)
    except (binascii.Error, ValueError) as error:
        raise BadFeed("its first line is not a signature in base64") from error
    except InvalidSignature as error:
        raise BadFeed("not signed with the key of [update]") from error
    try:
        return _FEED_DECODER.decode(body)
    except MalformedJson as error:
        raise BadFeed(f"signed, but not a feed: {error}") from error


def check_current(feed: Feed, seen: datetime | None, now: datetime | None) -> None:
    """Raise BadFeed if a feed is older than the newest one that the box has `seen`, expired, or of the future.

    `now` is None while the clock cannot be trusted: then `seen` alone is compared.
    """
    issued, expires = feed.issued.isoformat(), feed.expires.isoformat()
    if seen is not None and feed.issued < seen:
        raise BadFeed(
            f"issued {issued}: older than the feed of {seen.isoformat()}, which this box has seen"
        )
    if now is None:
        return
    if feed.issued > now + MAX_AHEAD:
        raise BadFeed(
            f"issued {issued}: this box's clock says {now.isoformat(timespec='seconds')}; "
            f"allowed: ahead by {MAX_AHEAD.days} day at most"
        )
    if feed.expires <= now:
        raise ExpiredFeed(
            f"expired {expires}; allowed: a feed that is signed again before it expires"
        )


def rollout_position_percent(box_id: str, version: str) -> float:
    """Return a box's position in the rollout of a version: 0 <= position < 100.

    It differs by version, so that the first boxes are not always the same; and it does not depend on the
    percentage, so that a larger one only adds boxes.
    """
    digest = hashlib.sha256(f"{version}\0{box_id}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48 * ALL_PERCENT


def is_in_rollout(box_id: str, version: str, rollout_percent: float) -> bool:
    """Return whether a box takes part in a rollout."""
    return rollout_position_percent(box_id, version) < rollout_percent


def select_release(feed: Feed, context: UpdateContext) -> FeedDecision:
    """Select the newest release for this box; never an older version than the booted one."""
    compatible = [release for release in feed.releases if release.compatible == context.compatible]
    newer = [
        release
        for release in sorted(
            compatible, key=lambda candidate: versions.version_key(candidate.version), reverse=True
        )
        if not versions.is_downgrade(context.version, release.version)
        and versions.version_key(release.version) != versions.version_key(context.version)
    ]
    if not compatible:
        return FeedDecision(release=None, reason=f"nothing for {context.compatible}")
    if not newer:
        return FeedDecision(release=None, reason=f"nothing newer than {context.version}")
    reasons = []
    for release in newer:
        reason = _exclusion_reason(release, context)
        if reason is None:
            return FeedDecision(
                release=release, reason=f"version {release.version} is for this box"
            )
        reasons.append(f"{release.version}: {reason}")
    return FeedDecision(release=None, reason="; ".join(reasons))


def find_release(feed: Feed, compatible: str, version: str) -> FeedRelease:
    """Find a release by its version, whatever its schedule: it was requested by name. Raises: UpdateError."""
    named = [
        release
        for release in feed.releases
        if release.compatible == compatible
        and versions.version_key(release.version) == versions.version_key(version)
    ]
    if not named:
        offered = sorted(
            {release.version for release in feed.releases if release.compatible == compatible},
            key=versions.version_key,
        )
        raise UpdateError(
            f"version {version}: not in the feed for {compatible}; allowed: {', '.join(offered) or 'none'}"
        )
    return named[0]


def describe_releases(feed: Feed, context: UpdateContext) -> list[str]:
    """Return a line for each release for this box, and whether it is selected by itself."""
    decision = select_release(feed, context)
    lines = []
    for release in feed.releases:
        if release.compatible != context.compatible:
            continue
        schedule = f"for {release.rollout_percent:g} % of the boxes"
        if release.not_before is not None:
            schedule += f", not before {release.not_before.isoformat()}"
        lines.append(f"version {release.version}: {schedule}")
    return [*lines, decision.reason]


def _exclusion_reason(release: FeedRelease, context: UpdateContext) -> str | None:
    if release.version in context.refused_versions:
        return "fell back here or was rolled back"
    if not is_in_rollout(context.box_id, release.version, release.rollout_percent):
        return f"for {release.rollout_percent:g} % of the boxes, not yet for this one"
    if release.not_before is not None:
        if context.now is None:
            return "waits for a trusted clock"
        if context.now < release.not_before:
            return f"not before {release.not_before.isoformat()}"
    return None
