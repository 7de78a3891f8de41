"""The feed's releases: polled each hour, installed and booted within the window, or requested by name."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from agent.base import damaged_file
from agent.base.message import Message
from agent.base.seen_feed import FILE_NAME, SeenFeed, seen_feed_file
from agent.config.configuration import Config
from agent.config.link import UpdateConfig
from agent.update import feed, versions
from agent.update.download import Download, DownloadSpec, WaitOrStop, fetch_bytes
from agent.update.errors import UpdateError
from agent.update.feed import ExpiredFeed, Feed, FeedRelease, UpdateContext
from agent.update.https_get import HttpGet
from agent.update.rauc_backend import RAUC_STATE_DIR
from agent.update.updater import ProgressCallbacks, Updater
from agent.update.usb_bundle import BUNDLE_SUFFIX

REQUESTER = "feed"


class PollerDeps(msgspec.Struct, frozen=True, kw_only=True):
    """Dependencies. `now` returns None while the clock cannot be trusted; it is called before each step,
    because a slow link may take hours. `make_http_get` takes a file of authorities, or None for the system's.
    """

    now: Callable[[], datetime | None]
    callbacks: ProgressCallbacks
    wait_or_stop: WaitOrStop
    make_http_get: Callable[[Path | None], HttpGet]
    reboot: Callable[[], object]


def poll_feed(
    updater: Updater, config: Config, deps: PollerDeps, *, ignore_window: bool = False
) -> str:
    """Poll the feed, do the next step, and return what was done in one sentence.

    The feed is read before a reboot into a pending version too: a box that does not reach the centre would
    fail its trial. Without a trusted clock the feed waits, since it may have expired. Raises: UpdateError, UserError,
    OSError.
    """
    update_config = config.update
    if update_config is None:
        return "no [update] in the configuration: no feed to poll"
    slots, now = updater.slots, deps.now()
    obstacle = _find_obstacle(updater, is_clock_needed=now is None and not ignore_window)
    if obstacle is not None:
        return obstacle

    def is_window_open() -> bool:
        now = deps.now()
        return ignore_window or (
            now is not None
            and update_config.is_in_window(now.astimezone(ZoneInfo(config.box.time_zone)))
        )

    selection = slots.read_selection()
    pending = selection.pending if selection.pending and not selection.tried else None
    http_get = deps.make_http_get(_ca_file(update_config))
    release, reason = _select_from_feed(updater, config, update_config, http_get, now)
    if pending is not None:
        pending_version = slots.read_state().slot(pending).version
        if release is None or not _should_replace(release, pending_version, updater.booted_version):
            return _reboot_if_open(updater, deps, pending_version, is_window_open=is_window_open())
    if release is None:
        updater.clean_downloads()
        return reason
    path, download = _download(updater, release, http_get, deps)
    if not is_window_open():
        return f"version {release.version} is downloaded; it is installed within {update_config.window}"
    _install(updater, release, path, download, deps.callbacks, REQUESTER)
    return _reboot_if_open(updater, deps, release.version, is_window_open=is_window_open())


def list_releases(
    updater: Updater,
    config: Config,
    make_http_get: Callable[[Path | None], HttpGet],
    now: datetime | None,
) -> list[str]:
    """Return a line for each release of the feed that is for this box. Raises: UpdateError, OSError."""
    update_config = _require_update_config(config)
    offered_feed, context = _read_feed(
        updater, config, update_config, make_http_get(_ca_file(update_config)), now
    )
    return feed.describe_releases(offered_feed, context)


def install_release(
    updater: Updater, config: Config, deps: PollerDeps, version: str, requester: str
) -> Message:
    """Install the release of this version, whatever its schedule; return where it is.

    Raises: UpdateError, UserError, OSError.
    """
    update_config = _require_update_config(config)
    updater.check_not_on_trial()
    http_get = deps.make_http_get(_ca_file(update_config))
    with updater.exclusive():
        offered_feed, context = _read_feed(updater, config, update_config, http_get, deps.now())
        release = feed.find_release(offered_feed, context.compatible, version)
        path, download = _download(updater, release, http_get, deps)
        slot = _install(updater, release, path, download, deps.callbacks, requester)
    return Message("version {version} is in slot {slot}", version=release.version, slot=slot)


def _find_obstacle(updater: Updater, *, is_clock_needed: bool) -> str | None:
    """Return why the feed is not polled now, if so."""
    slots = updater.slots
    if slots.is_on_trial():
        return f"slot {slots.booted} is on trial: the feed is not polled"
    return "the feed waits for a trusted clock: it may have expired" if is_clock_needed else None


def _require_update_config(config: Config) -> UpdateConfig:
    if config.update is None:
        raise UpdateError("[update]: missing in the configuration; allowed: a feed and its key")
    return config.update


def _ca_file(update_config: UpdateConfig) -> Path | None:
    return None if update_config.ca_file is None else Path(update_config.ca_file)


def _download(
    updater: Updater, release: FeedRelease, http_get: HttpGet, deps: PollerDeps
) -> tuple[Path, Download]:
    spec = DownloadSpec(
        url=release.url,
        suffix=BUNDLE_SUFFIX,
        sha256=release.sha256,
        size_bytes=release.size_bytes,
    )
    return updater.fetch(spec, http_get, deps.callbacks, deps.wait_or_stop)


def _install(
    updater: Updater,
    release: FeedRelease,
    path: Path,
    download: Download,
    callbacks: ProgressCallbacks,
    requester: str,
) -> str:
    """Check and install a downloaded release, and return its slot.

    A bundle that fails the check is the one that the feed names: it is kept, not downloaded every hour.
    """
    bundle = updater.check_bundle(path, callbacks, retry_refused=False)
    if versions.version_key(bundle.version) != versions.version_key(release.version):
        raise UpdateError(
            f"the bundle has version {bundle.version}; the feed says {release.version}"
        )
    slot = updater.install(path, bundle, callbacks)
    download.discard()
    updater.record_action(requester, f"version {bundle.version} installed into slot {slot}")
    return slot


def _should_replace(
    release: FeedRelease, pending_version: str | None, booted_version: str | None
) -> bool:
    """Return whether a release replaces the pending version: only if that is an older update.

    A pending version that is unknown, or older than the booted one, was installed by a person.
    """
    if pending_version is None or versions.is_downgrade(booted_version, pending_version):
        return False
    return versions.version_key(release.version) > versions.version_key(pending_version)


def _select_from_feed(
    updater: Updater,
    config: Config,
    update_config: UpdateConfig,
    http_get: HttpGet,
    now: datetime | None,
) -> tuple[FeedRelease | None, str]:
    decision = feed.select_release(*_read_feed(updater, config, update_config, http_get, now))
    return decision.release, decision.reason


def _read_feed(
    updater: Updater,
    config: Config,
    update_config: UpdateConfig,
    http_get: HttpGet,
    now: datetime | None,
) -> tuple[Feed, UpdateContext]:
    """Return the verified and current feed, and the box to select for. Raises: UpdateError, OSError."""
    offered_feed = feed.verify_feed(
        fetch_bytes(update_config.feed, feed.MAX_FEED_BYTES, http_get), update_config.public_key
    )
    _check_current(updater, offered_feed, now)
    if updater.booted_version is None:
        raise UpdateError("os-release has no IMAGE_VERSION: the booted version is unknown")
    context = UpdateContext(
        box_id=config.box.id,
        compatible=updater.read_compatible(),
        version=updater.booted_version,
        refused_versions=updater.slots.read_state().refused,
        now=now,
    )
    return offered_feed, context


def _check_current(updater: Updater, offered_feed: Feed, now: datetime | None) -> None:
    """Check that the feed is current, and store its number and its end, also if it has expired. Raises: BadFeed, OSError.

    Without a trusted clock nothing is stored: a feed of the future would lock out all others.
    """
    file = seen_feed_file(updater.root / RAUC_STATE_DIR.relative_to("/"))
    seen = file.load()
    if seen is None and damaged_file.is_unreported(file.path):
        updater.record_action(REQUESTER, f"{FILE_NAME} was damaged, and begins again")
        damaged_file.mark_reported(damaged_file.unreported_path(file.path))
    offered = SeenFeed(issued=offered_feed.issued, expires=offered_feed.expires)
    try:
        feed.check_current(offered_feed, None if seen is None else seen.issued, now)
    except ExpiredFeed:
        if seen != offered:
            file.write(offered)
        raise
    if now is not None and seen != offered:
        file.write(offered)


def _reboot_if_open(
    updater: Updater, deps: PollerDeps, version: str | None, *, is_window_open: bool
) -> str:
    if not is_window_open:
        return f"version {version or '(unknown)'} is installed; the reboot waits for the window"
    updater.record_action(REQUESTER, f"reboot into version {version or '(unknown)'}")
    deps.reboot()
    return f"version {version or '(unknown)'} is installed; rebooting into it"
