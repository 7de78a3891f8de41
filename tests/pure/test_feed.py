"""agent.update.feed and versions: the rollout share, the order of versions, and the window."""

import base64
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import hypothesis.strategies as st
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given

from agent.config.link import UpdateConfig
from agent.update import feed, pre_install, versions
from agent.update.feed import BadFeed, Feed, FeedRelease, UpdateContext

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(31) + b"x")
PUBLIC = base64.b64encode(KEY.public_key().public_bytes_raw()).decode()
NOW = datetime(2026, 11, 25, 2, 0, tzinfo=UTC)
ISSUED, EXPIRES = NOW - timedelta(days=3), NOW + timedelta(days=30)

ORDERED = [
    *("0.9", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta.2"),
    *("1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.0.1", "1.2", "1.10", "2026.11.25"),
]
VERSIONS = st.sampled_from(ORDERED)


def test_versions_sort_in_semver_order() -> None:
    assert sorted(set(ORDERED), key=versions.version_key) == ORDERED
    assert (
        versions.version_key("1.0")
        == versions.version_key("1.0.0")
        == versions.version_key("1+build.7")
    )


@given(VERSIONS, VERSIONS)
def test_one_of_two_different_versions_is_a_downgrade(one: str, two: str) -> None:
    assert versions.is_downgrade(one, two) + versions.is_downgrade(two, one) == (one != two)


@pytest.mark.parametrize("word", ["", "v1", "1.", "1..2", "1.2.3.4.5", "1-", "٣", "1 ", "1" * 70])
def test_an_invalid_version_counts_as_a_downgrade(word: str) -> None:
    with pytest.raises(ValueError, match="not a version"):
        versions.version_key(word)
    assert versions.is_downgrade("1.0.0", word)
    assert versions.is_downgrade(word, "1.0.0")
    assert versions.is_downgrade(None, "1.0.0")


@pytest.mark.parametrize(
    ("now", "to", "downgrade", "may"),
    [
        ("1.0.0", "1.0.1", False, True),
        ("1.0.0", "1.0.0", False, True),
        ("1.0.1", "1.0.0", False, False),
        ("1.0.1", "1.0.0", True, True),
        ("1.0.0", "1.0.0-rc.1", False, False),
        (None, "1.0.0", False, False),
        (None, "1.0.0", True, True),
    ],
)
def test_a_downgrade_is_installed_only_if_it_was_signed_as_one(
    now: str | None, to: str, *, downgrade: bool, may: bool
) -> None:
    if may:
        pre_install.check_permitted(now, to, allow_downgrade=downgrade)
    else:
        with pytest.raises(pre_install.InstallRefused, match="downgrade=yes"):
            pre_install.check_permitted(now, to, allow_downgrade=downgrade)


def release(version: str = "2.0.0", rollout_percent: float = 100, **more: Any) -> FeedRelease:
    given: dict[str, Any] = {
        "compatible": "vigie-pi-arm64",
        "url": "https://example.org/x.raucb",
        "sha256": "0" * 64,
        "size_bytes": 1000,
    }
    return FeedRelease(version=version, rollout_percent=rollout_percent, **given | more)


def situation(box: str = "casa-0001", **more: Any) -> UpdateContext:
    given: dict[str, Any] = {
        "compatible": "vigie-pi-arm64",
        "version": "1.0.0",
        "refused_versions": (),
        "now": NOW,
    }
    return UpdateContext(box_id=box, **given | more)


def listed(*releases: FeedRelease) -> Feed:
    return Feed(v=1, kind="vigie-feed", issued=ISSUED, expires=EXPIRES, releases=releases)


BOXES = [f"casa-{number:04}" for number in range(4000)]


@pytest.mark.parametrize("rollout_percent", [1, 10, 50, 90])
def test_a_rollout_share_selects_that_share_of_the_boxes(rollout_percent: float) -> None:
    for version in ("2.0.0", "2.0.1"):
        taken = sum(feed.is_in_rollout(box, version, rollout_percent) for box in BOXES)
        # Four standard deviations of as many throws.
        spread = (len(BOXES) * rollout_percent * (100 - rollout_percent)) ** 0.5 / 100
        assert abs(taken - len(BOXES) * rollout_percent / 100) < 4 * spread


@given(st.text(min_size=1), VERSIONS, st.floats(0, 100), st.floats(0, 100))
def test_a_larger_rollout_share_keeps_the_boxes_already_included(
    box: str, version: str, one: float, two: float
) -> None:
    small, large = sorted((one, two))
    assert feed.is_in_rollout(box, version, small) <= feed.is_in_rollout(box, version, large)
    assert feed.is_in_rollout(box, version, 100)
    assert not feed.is_in_rollout(box, version, 0)


def test_different_versions_start_with_different_boxes() -> None:
    first = {box for box in BOXES if feed.is_in_rollout(box, "2.0.0", 10)}
    second = {box for box in BOXES if feed.is_in_rollout(box, "2.0.1", 10)}
    assert len(first & second) < len(first) / 4


@pytest.mark.parametrize(
    ("offered", "box", "version", "why"),
    [
        ([release("2.0.0"), release("2.1.0")], situation(), "2.1.0", ""),
        ([release("2.0.0"), release("2.1.0", 0)], situation(), "2.0.0", ""),
        ([release("2.0.0")], situation(version="2.0.0"), None, "nothing newer than 2.0.0"),
        ([release("2.0.0")], situation(version="3.0.0"), None, "nothing newer than 3.0.0"),
        (
            [release("2.0.0")],
            situation(refused_versions=("2.0.0",)),
            None,
            "2.0.0: fell back here or was rolled back",
        ),
        ([release(compatible="x")], situation(), None, "nothing for vigie-pi-arm64"),
        ([], situation(), None, "nothing for vigie-pi-arm64"),
        ([release(rollout_percent=0)], situation(), None, "2.0.0: for 0 % of the boxes"),
        ([release(not_before=datetime(2026, 11, 25, 1, tzinfo=UTC))], situation(), "2.0.0", ""),
        ([release(not_before=datetime(2026, 11, 26, tzinfo=UTC))], situation(), None, "not before"),
        (
            [release(not_before=datetime(2026, 11, 25, 1, tzinfo=UTC))],
            situation(now=None),
            None,
            "waits for a trusted clock",
        ),
    ],
)
def test_the_newest_release_for_the_box_is_selected_and_never_an_older_one(
    offered: list[FeedRelease], box: UpdateContext, version: str | None, why: str
) -> None:
    verdict = feed.select_release(listed(*offered), box)
    assert (verdict.release.version if verdict.release else None) == version
    assert why in verdict.reason


def signed(text: bytes, key: Ed25519PrivateKey = KEY) -> bytes:
    return base64.b64encode(key.sign(text)) + b"\n" + text


def text(dates: dict[str, str | None] | None = None, **more: Any) -> bytes:
    entry = msgspec.to_builtins(release()) | more
    document = msgspec.to_builtins(listed()) | {"releases": [entry]} | (dates or {})
    return msgspec.json.encode({key: one for key, one in document.items() if one is not None})


def test_a_signed_feed_is_read() -> None:
    assert feed.verify_feed(signed(text(not_before="2026-11-25T02:00:00Z")), PUBLIC) == listed(
        release(not_before=NOW)
    )


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not signed with"),
        (text(), "signature"),
        (signed(text()) + b" ", "not signed with"),
        (signed(text(), OTHER_KEY), "not signed with"),
        (signed(b"{}"), "not a feed"),
        (signed(b"\xff"), "not a feed"),
        (signed(text(url="http://example.org/x")), "not a feed"),
        (signed(text(url="https://u@example.org/x")), "not a feed"),
        (signed(text(rollout_percent=101)), "not a feed"),
        (signed(text(size_bytes=0)), "not a feed"),
        (signed(text(version="next")), "not a feed"),
        (signed(text(extra=1)), "not a feed"),
        (signed(text(not_before="2026-11-25T02:00:00")), "not a feed"),
        (signed(text({"issued": None})), "not a feed"),
        (signed(text({"expires": None})), "not a feed"),
        (signed(text({"issued": "2026-11-22T02:00:00"})), "not a feed"),
        (signed(text({"expires": "2026-11-22T02:00:00Z"})), "allowed: after `issued`"),
        (signed(text({"expires": "2027-02-20T02:00:01Z"})), "by 90 days at most"),
        (bytes(feed.MAX_FEED_BYTES + 1), "more than"),
    ],
)
def test_a_feed_without_the_centres_signature_is_refused_in_one_line(data: bytes, why: str) -> None:
    with pytest.raises(BadFeed, match=why) as reported:
        feed.verify_feed(data, PUBLIC)
    assert "\n" not in str(reported.value)


SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("seen", "now", "why"),
    [
        (None, NOW, None),
        (ISSUED, NOW, None),
        (ISSUED - SECOND, NOW, None),
        (ISSUED + SECOND, NOW, "older than the feed of 2026-11-22T02:00:01+00:00"),
        (ISSUED + SECOND, None, "older than the feed of 2026-11-22T02:00:01+00:00"),
        (None, EXPIRES - SECOND, None),
        (None, EXPIRES, "expired 2026-12-25T02:00:00+00:00"),
        (None, None, None),
        (None, ISSUED - feed.MAX_AHEAD, None),
        (None, ISSUED - feed.MAX_AHEAD - SECOND, "ahead by 1 day at most"),
    ],
)
def test_a_feed_is_valid_until_it_expires_and_as_long_as_no_newer_one_was_seen(
    seen: datetime | None, now: datetime | None, why: str | None
) -> None:
    if why is None:
        feed.check_current(listed(), seen, now)
        return
    with pytest.raises(BadFeed, match=re.escape(why)) as reported:
        feed.check_current(listed(), seen, now)
    assert "\n" not in str(reported.value)


def settings(**more: str) -> UpdateConfig:
    given = {"feed": "https://example.org/feed", "public_key": PUBLIC}
    return msgspec.convert(given | more, UpdateConfig)


@pytest.mark.parametrize(
    ("window", "time_zone", "moment", "is_open"),
    [
        ("01:30-04:30", "UTC", "2026-11-25T01:30:00Z", True),
        ("01:30-04:30", "UTC", "2026-11-25T04:29:59Z", True),
        ("01:30-04:30", "UTC", "2026-11-25T04:30:00Z", False),
        ("01:30-04:30", "UTC", "2026-11-25T01:29:59Z", False),
        ("23:00-02:00", "UTC", "2026-11-25T23:30:00Z", True),
        ("23:00-02:00", "UTC", "2026-11-25T01:59:00Z", True),
        ("23:00-02:00", "UTC", "2026-11-25T12:00:00Z", False),
        # Four hours ahead in every release of tzdata; Casablanca went from one to none in 2026.
        ("01:30-04:30", "Asia/Dubai", "2026-11-24T21:30:00Z", True),
        ("01:30-04:30", "Asia/Dubai", "2026-11-25T00:30:00Z", False),
    ],
)
def test_the_update_window_is_in_local_time(
    window: str, time_zone: str, moment: str, *, is_open: bool
) -> None:
    local = datetime.fromisoformat(moment).astimezone(ZoneInfo(time_zone))
    assert settings(window=window).is_in_window(local) is is_open


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("window", "1-4"),
        ("window", "25:00-26:00"),
        ("window", "02:00-02:59"),
        ("window", "02:00-02:00"),
        ("feed", "http://example.org/feed"),
        ("public_key", "abc"),
    ],
)
def test_invalid_update_settings_are_refused(key: str, value: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=key):
        settings(**{key: value})
