"""What the timer does, once an hour: see what the centre offers, fetch it by day, install it by night."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import msgspec

from agent.config.configuration import Config
from agent.config.update import UpdateConfig
from agent.update import feed, https_get, versions
from agent.update.download import DownloadSpec, Wait, fetch_small
from agent.update.errors import UpdateError
from agent.update.feed import Release, UpdateContext
from agent.update.updater import Steps, Updater

BY = "feed"


class PollerDeps(msgspec.Struct, frozen=True, kw_only=True):
    """What it works with. `now` says None while the clock is not to be trusted. It is asked before each
    step: a slow link may take hours.
    """

    now: Callable[[], datetime | None]
    steps: Steps
    wait: Wait
    reboot: Callable[[], object]


def poll_feed(updater: Updater, config: Config, means: PollerDeps, *, hurry: bool = False) -> str:
    """One look at the feed, and what it asks for. What was done, in one sentence.

    With `hurry` the window is not waited for. Raises CannotUpdate, BadInput or OSError.
    """
    settings = config.update
    if settings is None:
        return "no [update] in the configuration: nothing is looked for"
    slots = updater.slots
    if slots.on_trial():
        return f"slot {slots.current} is on trial: nothing is looked for"

    def is_open() -> bool:
        now = means.now()
        return hurry or (now is not None and settings.is_open(now))

    choice = slots.choice()
    waiting = choice.pending if choice.pending and not choice.tried else None
    release, why = _offered(updater, config, settings, means.now())
    if waiting is not None:
        held = slots.book().slot(waiting).version
        if release is None or not _replaces(release, held, updater.version):
            return _reboot(updater, means, held, is_open=is_open())
    if release is None:
        updater.clean_downloads()
        return why
    trust = https_get.context(None if settings.ca is None else Path(settings.ca))
    wanted = DownloadSpec(url=release.url, sha256=release.sha256, size_bytes=release.bytes)
    path, download = updater.fetch(wanted, trust, means.steps, means.wait)
    if not is_open():
        return f"version {release.version} lies ready; it is installed within {settings.window}"
    # Whatever is wrong with it, it is what the feed names: it stays, and is not fetched again each hour.
    bundle = updater.check(path, means.steps, again=False)
    if versions.key(bundle.version) != versions.key(release.version):
        raise UpdateError(f"version {bundle.version}, and not the {release.version} of the feed")
    slot = updater.install(path, bundle, means.steps)
    download.forget()
    updater.tell(BY, f"version {bundle.version} installed into slot {slot}")
    return _reboot(updater, means, bundle.version, is_open=is_open())


def _replaces(release: Release, held: str | None, runs: str | None) -> bool:
    """Whether a release is written over what waits to be tried: over an older update only. Where what
    waits is older than what `runs`, or nobody can tell, a person wanted it.
    """
    if held is None or versions.goes_back(runs, held):
        return False
    return versions.key(release.version) > versions.key(held)


def _offered(
    updater: Updater, config: Config, settings: UpdateConfig, now: datetime | None
) -> tuple[Release | None, str]:
    trust = https_get.context(None if settings.ca is None else Path(settings.ca))
    found = feed.read(fetch_small(settings.feed, feed.MOST_BYTES, trust), settings.public_key)
    if updater.version is None:
        raise UpdateError("os-release has no IMAGE_VERSION: what runs has no version")
    box = UpdateContext(
        box=config.box.id,
        compatible=updater.compatible(),
        version=updater.version,
        refused=updater.slots.book().refused,
        now=now,
    )
    verdict = feed.select_release(found, box)
    return verdict.release, verdict.why


def _reboot(updater: Updater, means: PollerDeps, version: str | None, *, is_open: bool) -> str:
    if not is_open:
        return f"version {version or '(unknown)'} is installed; the reboot waits for the window"
    updater.tell(BY, f"reboot into version {version or '(unknown)'}")
    means.reboot()
    return f"version {version or '(unknown)'} is installed; rebooting into it"
