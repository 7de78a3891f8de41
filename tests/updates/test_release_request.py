"""Requests of a command to root: the signed feed is read, and a release of it is installed by its version."""

import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.base.message import decode_message
from agent.update import request_file
from agent.update.request_file import UpdateRequestStatus
from tests.server_certificate import CA_FILE
from tests.updates.conftest import COMPATIBLE, BundleAuthority, UpdateBox, can_mount_verity
from tests.updates.test_feed_poller import Centre, centre, https, newer
from tests.updates.test_request_service import requests, story_of, unit
from tests.updates.test_update_command import NOT_MOUNTED

__all__ = ["centre", "https", "newer", "requests"]


@pytest.fixture
def configured(box: UpdateBox, centre: Centre) -> Centre:
    """The centre's feed is that of the box's own configuration."""
    folder = box.root / "etc/vigie"
    folder.mkdir(parents=True, exist_ok=True)
    for file in (centre.config, centre.config.parent / CA_FILE):
        shutil.copy(file, folder)
    return centre


def run(
    box: UpdateBox, requests: Path, action: str, version: str | None = None
) -> UpdateRequestStatus:
    request_file.submit_request(requests, action, "Amina El Idrissi", version=version)  # type: ignore[arg-type]
    assert unit(box) == 0
    assert unit(box, "stopped") == 0
    reported = request_file.status_file(requests).read()
    assert reported is not None
    return reported


def text_of(status: UpdateRequestStatus) -> str:
    return "\n".join(str(decode_message(line)) for line in status.lines)


def test_the_releases_of_the_feed_are_listed_and_nothing_is_downloaded(
    box: UpdateBox, configured: Centre, requests: Path, newer: Path
) -> None:
    configured.offers(newer, rollout_percent=0)
    reported = run(box, requests, "check")
    assert reported.state == "done"
    assert text_of(reported).splitlines() == [
        "version 2.0.0: for 0 % of the boxes",
        "2.0.0: for 0 % of the boxes, not yet for this one",
    ]
    assert len(configured.server.ranges) == 1
    assert not list((box.root / "data/update").glob("*.raucb"))


def test_a_release_is_installed_by_its_version_whatever_its_schedule(
    box: UpdateBox, configured: Centre, requests: Path, newer: Path
) -> None:
    configured.offers(newer, rollout_percent=0, not_before="2099-01-01T00:00:00Z")
    reported = run(box, requests, "install_release", "2.0.0")
    if can_mount_verity():
        assert (reported.state, text_of(reported)) == (
            "done",
            "version 2.0.0 is in slot B, and is tried once, at the next reboot.",
        )
        assert box.contains_version("B", "2.0.0")
        assert story_of(box) == [
            ("Amina El Idrissi", "update: version 2.0.0 installed into slot B")
        ]
    else:
        assert reported.state == "failed"
        assert text_of(reported).startswith(NOT_MOUNTED)
        assert box.is_empty("B")


def test_a_release_that_the_feed_does_not_have_is_not_installed(
    box: UpdateBox, configured: Centre, requests: Path, newer: Path
) -> None:
    configured.offers(newer)
    reported = run(box, requests, "install_release", "3.0.0")
    assert (reported.state, text_of(reported)) == (
        "failed",
        f"version 3.0.0: not in the feed for {COMPATIBLE}; allowed: 2.0.0",
    )
    assert box.is_empty("B")


def test_a_feed_of_a_stranger_offers_nothing(
    box: UpdateBox, configured: Centre, requests: Path, newer: Path
) -> None:
    configured.offers(newer, Ed25519PrivateKey.generate())
    for action, version in (("check", None), ("install_release", "2.0.0")):
        reported = run(box, requests, action, version)
        assert (reported.state, text_of(reported)) == (
            "failed",
            "not signed with the key of [update]",
        )
    assert box.is_empty("B")


def test_a_bundle_of_another_version_than_the_feed_says_is_not_installed(
    box: UpdateBox,
    configured: Centre,
    requests: Path,
    tmp_path: Path,
    authority: BundleAuthority,
) -> None:
    configured.offers(authority.make_bundle(tmp_path / "wrong.raucb", "2.1.0"))
    reported = run(box, requests, "install_release", "2.0.0")
    assert text_of(reported) == "the bundle has version 2.1.0; the feed says 2.0.0"
    assert box.is_empty("B")


@pytest.mark.usefixtures("configured")
def test_a_box_without_a_feed_says_so(box: UpdateBox, requests: Path) -> None:
    config = box.root / "etc/vigie/vigie.toml"
    config.write_text(config.read_text().partition("[update]")[0])
    reported = run(box, requests, "check")
    assert text_of(reported).startswith("[update]: missing in the configuration")
