"""Hourly poll of the feed: download at any time, install and reboot within the window."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import msgspec

from agent.config.configuration import Config
from agent.config.update import UpdateConfig
from agent.update import feed, versions
from agent.update.download import DownloadSpec, WaitOrStop, fetch_bytes
from agent.update.errors import UpdateError
from agent.update.feed import FeedRelease, UpdateContext
from agent.update.https_get import HttpGet
from agent.update.updater import ProgressCallbacks, Updater

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
    fail its trial. Raises: UpdateError, UserError, OSError.
    """
    update_config = config.update
    if update_config is None:
        return "no [update] in the configuration: no feed to poll"
    slots = updater.slots
    if slots.is_on_trial():
        return f"slot {slots.booted} is on trial: the feed is not polled"

    def is_window_open() -> bool:
        now = deps.now()
        return ignore_window or (now is not None and update_config.is_in_window(now))

    selection = slots.read_selection()
    pending = selection.pending if selection.pending and not selection.tried else None
    http_get = deps.make_http_get(
        None if update_config.ca_file is None else Path(update_config.ca_file)
    )
    release, reason = _select_from_feed(updater, config, update_config, http_get, deps.now())
    if pending is not None:
        pending_version = slots.read_state().slot(pending).version
        if release is None or not _should_replace(release, pending_version, updater.booted_version):
            return _reboot_if_open(updater, deps, pending_version, is_window_open=is_window_open())
    if release is None:
        updater.clean_downloads()
        return reason
    spec = DownloadSpec(url=release.url, sha256=release.sha256, size_bytes=release.size_bytes)
    path, download = updater.fetch(spec, http_get, deps.callbacks, deps.wait_or_stop)
    if not is_window_open():
        return f"version {release.version} is downloaded; it is installed within {update_config.window}"
    # A bundle that fails the check is the one that the feed names: it is kept, not downloaded every hour.
    bundle = updater.check_bundle(path, deps.callbacks, retry_refused=False)
    if versions.version_key(bundle.version) != versions.version_key(release.version):
        raise UpdateError(
            f"the bundle has version {bundle.version}; the feed says {release.version}"
        )
    slot = updater.install(path, bundle, deps.callbacks)
    download.discard()
    updater.record_action(REQUESTER, f"version {bundle.version} installed into slot {slot}")
    return _reboot_if_open(updater, deps, bundle.version, is_window_open=is_window_open())


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
    offered_feed = feed.verify_feed(
        fetch_bytes(update_config.feed, feed.MAX_FEED_BYTES, http_get), update_config.public_key
    )
    if updater.booted_version is None:
        raise UpdateError("os-release has no IMAGE_VERSION: the booted version is unknown")
    context = UpdateContext(
        box_id=config.box.id,
        compatible=updater.read_compatible(),
        version=updater.booted_version,
        refused_versions=updater.slots.read_state().refused,
        now=now,
    )
    decision = feed.select_release(offered_feed, context)
    return decision.release, decision.reason


def _reboot_if_open(
    updater: Updater, deps: PollerDeps, version: str | None, *, is_window_open: bool
) -> str:
    if not is_window_open:
        return f"version {version or '(unknown)'} is installed; the reboot waits for the window"
    updater.record_action(REQUESTER, f"reboot into version {version or '(unknown)'}")
    deps.reboot()
    return f"version {version or '(unknown)'} is installed; rebooting into it"
