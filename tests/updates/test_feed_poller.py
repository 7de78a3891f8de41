"""agent.update.feed_poller with a real feed: when it downloads, installs and reboots, and when it does
not.
"""

import base64
import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.base.clock import SystemClock
from agent.base.seen_feed import seen_feed_file
from agent.config import configuration
from agent.update import fetch_client, operations, update_log
from agent.update.feed import BadFeed
from agent.update.feed_poller import PollerDeps, list_releases, poll_feed
from agent.update.https_get import HttpError
from agent.update.rauc import RaucClient
from agent.update.updater import ProgressCallbacks, Updater, VersionRefused
from tests.server_certificate import CA_FILE
from tests.updates.conftest import COMPATIBLE, BundleAuthority, UpdateBox, can_mount_verity
from tests.updates.file_server import FileServer, https_server
from tests.updates.test_update_command import (
    CONFIG,
    installed,
    was_installed,
    was_refused,
)

KEY = Ed25519PrivateKey.generate()
NIGHT = datetime.now(UTC).replace(hour=2, minute=0, second=0, microsecond=0)
"""Of today: `vigie update` compares the feed with the clock of this machine."""
DAY = NIGHT.replace(hour=12)
UPDATE = """
[update]
feed = "{feed}"
public_key = "{key}"
ca_file = "{ca}"
"""


@pytest.fixture
def newer(tmp_path: Path, authority: BundleAuthority) -> Path:
    return authority.make_bundle(tmp_path / "newer.raucb", "2.0.0")


@pytest.fixture
def https(tmp_path: Path) -> Iterator[tuple[FileServer, Path]]:
    with https_server(tmp_path) as server:
        yield server, tmp_path / CA_FILE


class Centre:
    """The centre's feed, and the configuration of a box that polls it."""

    def __init__(self, server: FileServer, ca: Path, folder: Path) -> None:
        self.server = server
        self.config = folder / "vigie.toml"
        key = base64.b64encode(KEY.public_key().public_bytes_raw()).decode()
        self.config.write_text(
            CONFIG.format() + UPDATE.format(feed=server.url("/feed"), key=key, ca=ca.name)
        )

    def offers(
        self,
        bundle: Path,
        signer: Ed25519PrivateKey = KEY,
        *,
        issued: datetime | None = None,
        valid: timedelta = timedelta(days=30),
        **more: object,
    ) -> None:
        data = bundle.read_bytes()
        self.server.files["/new.raucb"] = data
        release = {
            "version": "2.0.0",
            "compatible": COMPATIBLE,
            "url": self.server.url("/new.raucb"),
            "sha256": hashlib.sha256(data).hexdigest(),
            "size_bytes": len(data),
            "rollout_percent": 100,
            **more,
        }
        issued = issued or NIGHT
        text = msgspec.json.encode(
            {
                "v": 1,
                "kind": "vigie-feed",
                "issued": issued,
                "expires": issued + valid,
                "releases": [release],
            }
        )
        line = base64.b64encode(signer.sign(text)) + b"\n"
        self.server.files["/feed"] = line + text


@pytest.fixture
def centre(https: tuple[FileServer, Path], tmp_path: Path) -> Centre:
    return Centre(*https, tmp_path)


def test_a_release_in_the_feed_is_downloaded_checked_and_installed(
    box: UpdateBox, centre: Centre, newer: Path
) -> None:
    centre.offers(newer)
    done = box.run_vigie_update("check", "--config", centre.config, "--now")
    message = (done.stdout + done.stderr).replace("nothing updated", "not installed")
    if can_mount_verity():
        assert box.contains_version("B", "2.0.0")
    else:
        was_installed(box, done.returncode, message)


def test_a_bundle_that_cannot_be_installed_is_not_fetched_again_each_hour(
    box: UpdateBox, centre: Centre, tmp_path: Path, authority: BundleAuthority
) -> None:
    centre.offers(authority.make_bundle(tmp_path / "bad.raucb", "2.0.0", compatible="other"))
    for _ in range(2):
        done = box.run_vigie_update("check", "--config", centre.config, "--now")
        assert done.returncode == 1
        assert f"for other; this box is {COMPATIBLE}" in done.stderr
    assert len(centre.server.ranges) == 3, "two feeds and one bundle"


class Reboots:
    """Counts the reboot requests."""

    def __init__(self) -> None:
        self.requested = 0

    def __call__(self) -> None:
        self.requested += 1


STEPS = ProgressCallbacks(
    on_fetched=lambda _done, _total: None,
    on_checked=lambda _done, _total: None,
    on_installed=lambda _percent, _step: None,
)


def looks(
    box: UpdateBox,
    centre: Centre,
    now: datetime | None,
    reboots: Reboots,
    after: datetime | None = None,
) -> str:
    """Run the timer's program at `now`; the time is `after`, if given, once the bundle has come."""
    moments = [now]

    def fetched(done: int, total: int) -> None:
        if done == total and after is not None:
            moments.append(after)

    steps = msgspec.structs.replace(STEPS, on_fetched=fetched)
    means = PollerDeps(
        now=lambda: moments[-1],
        callbacks=steps,
        wait_or_stop=lambda _seconds: True,
        make_http_get=partial(fetch_client.make_http_get, box.root),
        reboot=reboots,
    )
    return poll_feed(
        Updater(box.root, RaucClient(("-c", str(box.conf)))),
        configuration.load(centre.config),
        means,
    )


def test_without_a_trusted_clock_the_feed_waits(
    box: UpdateBox, centre: Centre, newer: Path
) -> None:
    centre.offers(newer)
    reported = looks(box, centre, None, Reboots())
    assert reported == "the feed waits for a trusted clock: it may have expired"
    assert not centre.server.ranges


def test_an_old_feed_that_is_replayed_installs_no_withdrawn_release(
    box: UpdateBox, centre: Centre, newer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", box.environ["DBUS_SYSTEM_BUS_ADDRESS"])
    earlier, later = NIGHT - timedelta(hours=2), NIGHT - timedelta(hours=1)
    centre.offers(newer, issued=earlier)
    replayed = centre.server.files["/feed"]
    centre.offers(newer, issued=later, version="1.0.0")
    assert looks(box, centre, NIGHT, Reboots()) == "nothing newer than 1.0.0"
    centre.server.files["/feed"] = replayed
    with pytest.raises(BadFeed, match="which this box has seen"):
        looks(box, centre, NIGHT, Reboots())
    done = box.run_vigie_update("check", "--config", centre.config, "--now")
    was_refused(box, done.returncode, done.stderr, "which this box has seen")
    assert len(centre.server.ranges) == 3, "three feeds and no bundle"


def test_an_expired_feed_is_refused(box: UpdateBox, centre: Centre, newer: Path) -> None:
    centre.offers(newer, issued=NIGHT - timedelta(days=2), valid=timedelta(days=2))
    for _ in range(2):
        with pytest.raises(BadFeed, match="expired"):
            looks(box, centre, NIGHT, Reboots())
    assert box.is_empty("B")
    seen = seen_feed_file(box.root / "state/rauc").read()
    assert seen is not None, "the agent raises SYS-10"
    assert seen.expires == NIGHT


def test_a_feed_of_the_future_does_not_lock_out_the_next_one(
    box: UpdateBox, centre: Centre, newer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", box.environ["DBUS_SYSTEM_BUS_ADDRESS"])
    centre.offers(newer, issued=NIGHT + timedelta(days=3650), version="1.0.0")
    with pytest.raises(BadFeed, match="ahead by 1 day at most"):
        looks(box, centre, NIGHT, Reboots())
    updater = Updater(box.root, RaucClient(("-c", str(box.conf))))
    config = configuration.load(centre.config)
    listed = list_releases(updater, config, partial(fetch_client.make_http_get, box.root), None)
    assert listed[-1] == "nothing newer than 1.0.0", "a person may look at it without a clock"
    centre.offers(newer, version="1.0.0")
    assert looks(box, centre, NIGHT, Reboots()) == "nothing newer than 1.0.0"


def test_a_damaged_record_of_the_newest_feed_is_reported_and_begins_again(
    box: UpdateBox, centre: Centre, newer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", box.environ["DBUS_SYSTEM_BUS_ADDRESS"])
    centre.offers(newer, version="1.0.0")
    file = box.root / "state/rauc/feed.json"
    for _ in range(2):
        assert looks(box, centre, NIGHT, Reboots()) == "nothing newer than 1.0.0"
        file.write_bytes(file.read_bytes().replace(b"2", b"3"))
    assert looks(box, centre, NIGHT, Reboots()) == "nothing newer than 1.0.0"
    entries = update_log.read_entries(box.root / "state/rauc")
    assert {entry.action for entry in entries} == {
        "update: feed.json was damaged, and begins again"
    }
    assert len(entries) == 2


def test_outside_the_window_a_release_is_downloaded_once_and_not_installed(
    box: UpdateBox, centre: Centre, newer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", box.environ["DBUS_SYSTEM_BUS_ADDRESS"])
    centre.offers(newer)
    reboots = Reboots()
    for _ in range(2):
        reported = looks(box, centre, DAY, reboots)
        assert reported == "version 2.0.0 is downloaded; it is installed within 01:30-04:30"
    assert len(centre.server.ranges) == 3, "two feeds and one bundle"
    assert box.is_empty("B")
    assert reboots.requested == 0


def test_a_fetch_that_outlasts_the_window_is_not_installed_by_day(
    box: UpdateBox, centre: Centre, newer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", box.environ["DBUS_SYSTEM_BUS_ADDRESS"])
    centre.offers(newer)
    reboots = Reboots()
    reported = looks(box, centre, NIGHT, reboots, after=DAY)
    assert reported == "version 2.0.0 is downloaded; it is installed within 01:30-04:30"
    assert box.is_empty("B")
    assert "installing" not in box.log.read_text()


def test_the_window_is_checked_again_before_the_reboot(
    box: UpdateBox, centre: Centre, newer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", box.environ["DBUS_SYSTEM_BUS_ADDRESS"])
    centre.offers(newer)
    installed(box)
    reboots = Reboots()
    moments = iter([NIGHT, DAY])
    reported = poll_feed(
        Updater(box.root, RaucClient(("-c", str(box.conf)))),
        configuration.load(centre.config),
        PollerDeps(
            now=lambda: next(moments),
            callbacks=STEPS,
            wait_or_stop=lambda _seconds: True,
            make_http_get=partial(fetch_client.make_http_get, box.root),
            reboot=reboots,
        ),
    )
    assert reported == "version 2.0.0 is installed; the reboot waits for the window"
    assert reboots.requested == 0


@pytest.mark.parametrize(
    ("waits", "runs", "message"),
    [
        ("3.0.0", "1.0.0", "version 3.0.0 is installed; the reboot waits for the window"),
        ("2.0", "1.0.0", "version 2.0 is installed; the reboot waits for the window"),
        ("0.9.0", "1.0.0", "version 0.9.0 is installed; the reboot waits for the window"),
        ("next", "1.0.0", "version next is installed; the reboot waits for the window"),
        ("1.5.0", "1.0.0", "version 2.0.0 is downloaded; it is installed within 01:30-04:30"),
    ],
    ids=["newer", "the same", "gone back to", "no version", "older"],
)
def test_a_pending_update_is_replaced_only_by_a_newer_one(
    box: UpdateBox,
    centre: Centre,
    newer: Path,
    monkeypatch: pytest.MonkeyPatch,
    waits: str,
    runs: str,
    message: str,
) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", box.environ["DBUS_SYSTEM_BUS_ADDRESS"])
    centre.offers(newer)
    box.set_running_slot("A", runs)
    installed(box, waits)
    assert looks(box, centre, DAY, Reboots()) == message
    assert len(centre.server.ranges) == (2 if "is downloaded" in message else 1), "feed, and bundle"


def test_a_rolled_back_version_is_not_installed_again_by_the_feed(
    box: UpdateBox, centre: Centre, newer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", box.environ["DBUS_SYSTEM_BUS_ADDRESS"])
    box.slots.record_boot("1.0.0", "2026-11-25T02:00:00Z")
    installed(box)
    box.reboot("2.0.0")
    box.slots.set_state("B", good=True)
    updater = Updater(box.root, RaucClient(("-c", str(box.conf))))
    assert "version 1.0.0 in slot A is tried" in str(operations.rollback(updater, "amina"))
    box.reboot("1.0.0")
    box.slots.set_state("A", good=True)
    centre.offers(newer)
    message = "2.0.0: fell back here or was rolled back"
    assert looks(box, centre, NIGHT, Reboots()) == message
    assert len(centre.server.ranges) == 1, "the feed and no bundle"
    updater = Updater(box.root, RaucClient(("-c", str(box.conf))))
    with pytest.raises(VersionRefused):
        updater.check_bundle(newer, STEPS, retry_refused=False)
    assert updater.check_bundle(newer, STEPS, retry_refused=True).version == "2.0.0"


def test_an_invalid_address_in_a_signed_feed_is_reported(
    box: UpdateBox, centre: Centre, newer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", box.environ["DBUS_SYSTEM_BUS_ADDRESS"])
    centre.offers(newer, url="https://127.0.0.1:99999/new.raucb")
    with pytest.raises(HttpError, match=r"'https://127.0.0.1:99999/new.raucb': not a URL"):
        looks(box, centre, NIGHT, Reboots())


def test_the_units_command_installs_within_the_window_with_a_trusted_clock(
    box: UpdateBox, centre: Centre, newer: Path
) -> None:
    """`--now` is not given: what decides is the kernel's own word on the clock of this machine."""
    centre.offers(newer)
    now = datetime.now(UTC)
    begin, end = (f"{now + timedelta(hours=hours):%H:%M}" for hours in (-2, 2))
    with centre.config.open("a") as file:
        file.write(f'window = "{begin}-{end}"\n')
    done = box.run_vigie_update("check", "--config", centre.config)
    if SystemClock().trust().synced:
        message = (done.stdout + done.stderr).replace("nothing updated", "not installed")
        was_installed(box, 0 if box.contains_version("B", "2.0.0") else done.returncode, message)
    else:
        message = "the feed waits for a trusted clock: it may have expired\n"
        assert (done.returncode, done.stdout) == (0, message), done.stderr


def test_an_installed_update_waits_for_the_window_to_reboot(
    box: UpdateBox, centre: Centre, newer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", box.environ["DBUS_SYSTEM_BUS_ADDRESS"])
    centre.offers(newer)
    installed(box)
    reboots = Reboots()
    reported = looks(box, centre, DAY, reboots)
    assert (reported, reboots.requested) == (
        "version 2.0.0 is installed; the reboot waits for the window",
        0,
    )
    reported = looks(box, centre, NIGHT, reboots)
    assert (reported, reboots.requested) == ("version 2.0.0 is installed; rebooting into it", 1)
    box.reboot("2.0.0")
    assert looks(box, centre, NIGHT, reboots) == "slot B is on trial: the feed is not polled"
    box.reboot("1.0.0")
    assert looks(box, centre, NIGHT, reboots) == "2.0.0: fell back here or was rolled back"
    assert reboots.requested == 1
    assert len(centre.server.ranges) == 3, "three feeds and no bundle"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"rollout_percent": 0}, "2.0.0: for 0 % of the boxes, not yet for this one"),
        ({"version": "1.0.0"}, "nothing newer than 1.0.0"),
        ({"compatible": "vigie-pi-arm64"}, f"nothing for {COMPATIBLE}"),
    ],
)
def test_a_release_for_other_boxes_is_left_alone(
    box: UpdateBox, centre: Centre, newer: Path, more: dict[str, object], message: str
) -> None:
    centre.offers(newer, **more)
    done = box.run_vigie_update("check", "--config", centre.config, "--now")
    assert (done.returncode, done.stdout) == (0, f"{message}\n"), done.stderr
    assert len(centre.server.ranges) == 1


def test_a_feed_with_another_signature_is_refused(
    box: UpdateBox, centre: Centre, newer: Path
) -> None:
    centre.offers(newer, Ed25519PrivateKey.generate())
    done = box.run_vigie_update("check", "--config", centre.config, "--now")
    was_refused(box, done.returncode, done.stderr, "not signed with the key of [update]")


def test_a_server_with_an_untrusted_certificate_is_refused(
    box: UpdateBox, centre: Centre, newer: Path
) -> None:
    centre.offers(newer)
    text = centre.config.read_text()
    centre.config.write_text(
        "\n".join(line for line in text.splitlines() if not line.startswith("ca_file = "))
    )
    done = box.run_vigie_update("check", "--config", centre.config, "--now")
    was_refused(box, done.returncode, done.stderr, "certificate")


def test_a_box_without_a_feed_polls_nothing(box: UpdateBox, tmp_path: Path) -> None:
    config = tmp_path / "vigie.toml"
    config.write_text(CONFIG.format())
    done = box.run_vigie_update("check", "--config", config)
    assert done.stdout == "no [update] in the configuration: no feed to poll\n"
