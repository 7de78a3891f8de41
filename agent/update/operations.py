"""Operations on the system, each with its log entry: for `vigie update` and the console."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from agent.base.message import Message
from agent.update import usb_bundle
from agent.update.updater import ProgressCallbacks, Updater


class FetchedBundle(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle's file, and a function that deletes it if it is only a copy."""

    path: Path
    discard: Callable[[], None]


def install(
    updater: Updater,
    fetch: Callable[[], FetchedBundle],
    callbacks: ProgressCallbacks,
    requester: str,
    *,
    retry_refused: bool = False,
) -> Message:
    """Fetch a bundle, check it, and install it; return where it is. Raises: UpdateError, UserError, OSError."""
    updater.check_not_on_trial()
    with updater.exclusive():
        fetched = fetch()
        try:
            bundle = updater.check_bundle(fetched.path, callbacks, retry_refused=retry_refused)
            slot = updater.install(fetched.path, bundle, callbacks)
        finally:
            fetched.discard()
        updater.record_action(requester, f"version {bundle.version} installed into slot {slot}")
    return Message("version {version} is in slot {slot}", version=bundle.version, slot=slot)


def copy_from_usb(updater: Updater, bundle: str, callbacks: ProgressCallbacks) -> FetchedBundle:
    """Copy a bundle from a USB stick; earlier downloads are deleted, since there is room for one.

    Raises: UpdateError, UserError, OSError.
    """
    updater.clean_downloads()
    path = usb_bundle.copy_to_box(updater.root, bundle, updater.downloads, callbacks.on_fetched)
    return FetchedBundle(path=path, discard=lambda: path.unlink(missing_ok=True))


def mark(updater: Updater, verdict: Literal["good", "bad"], requester: str) -> str:
    """Mark the booted slot, and return RAUC's output. Raises: UpdateError, OSError."""
    output = updater.mark_booted(verdict)
    updater.record_action(requester, f"the booted slot was marked {verdict}")
    return output


def rollback(updater: Updater, requester: str) -> Message:
    """Roll back, or drop the pending slot; return what was done. Raises: UpdateError, UserError, OSError."""
    with updater.exclusive():
        outcome = updater.rollback()
        updater.record_action(requester, f"rollback: {outcome}")
    return outcome
