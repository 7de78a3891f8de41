"""What may be done to the system, from the order to the receipt: by `vigie update` and for the console."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from agent.update import usb_bundle
from agent.update.updater import ProgressCallbacks, Updater


class FetchedBundle(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle's file, and what throws it away again where it was only fetched for this."""

    path: Path
    discard: Callable[[], None]


def install(
    updater: Updater,
    fetch: Callable[[], FetchedBundle],
    callbacks: ProgressCallbacks,
    requester: str,
    *,
    retry_refused: bool = False,
) -> str:
    """Get a bundle, check all of it, and write it; where it is now. Raises UpdateError, UserError or
    OSError.
    """
    updater.check_not_on_trial()
    with updater.exclusive():
        fetched = fetch()
        try:
            bundle = updater.check_bundle(fetched.path, callbacks, retry_refused=retry_refused)
            slot = updater.install(fetched.path, bundle, callbacks)
        finally:
            fetched.discard()
        updater.record_action(requester, f"version {bundle.version} installed into slot {slot}")
    return f"version {bundle.version} is in slot {slot}"


def copy_from_usb(updater: Updater, bundle: str, callbacks: ProgressCallbacks) -> FetchedBundle:
    """A bundle on a stick, copied into the box: there is room for one. Raises UpdateError, UserError or
    OSError.
    """
    updater.clean_downloads()
    path = usb_bundle.copy_to_box(updater.root, bundle, updater.downloads, callbacks.on_fetched)
    return FetchedBundle(path=path, discard=lambda: path.unlink(missing_ok=True))


def mark(updater: Updater, verdict: Literal["good", "bad"], requester: str) -> str:
    """Say so of what runs. What RAUC said. Raises UpdateError or OSError."""
    output = updater.mark_booted(verdict)
    updater.record_action(requester, f"what runs was marked {verdict}")
    return output


def rollback(updater: Updater, requester: str) -> str:
    """Go back, or take back what waits; what was done. Raises UpdateError, UserError or OSError."""
    with updater.exclusive():
        outcome = updater.rollback()
        updater.record_action(requester, f"rollback: {outcome}")
    return outcome
