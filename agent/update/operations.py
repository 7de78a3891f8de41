"""What may be done to the system, from the order to the receipt: by `vigie update` and for the console."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from agent.update import usb_bundle
from agent.update.updater import Steps, Updater


class FetchedBundle(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle's file, and what throws it away again where it was only fetched for this."""

    path: Path
    forget: Callable[[], None]


def install(
    updater: Updater,
    get: Callable[[], FetchedBundle],
    steps: Steps,
    by: str,
    *,
    again: bool = False,
) -> str:
    """Get a bundle, check all of it, and write it; where it is now. Raises CannotUpdate, BadInput or
    OSError.
    """
    updater.refuse_on_trial()
    with updater.alone():
        got = get()
        try:
            bundle = updater.check(got.path, steps, again=again)
            slot = updater.install(got.path, bundle, steps)
        finally:
            got.forget()
        updater.tell(by, f"version {bundle.version} installed into slot {slot}")
    return f"version {bundle.version} is in slot {slot}"


def from_stick(updater: Updater, bundle: str, steps: Steps) -> FetchedBundle:
    """A bundle on a stick, copied into the box: there is room for one. Raises CannotUpdate, BadInput or
    OSError.
    """
    updater.clean_downloads()
    path = usb_bundle.copy_to_box(updater.root, bundle, updater.downloads, steps.fetched)
    return FetchedBundle(path=path, forget=lambda: path.unlink(missing_ok=True))


def mark(updater: Updater, word: Literal["good", "bad"], by: str) -> str:
    """Say so of what runs. What RAUC said. Raises CannotUpdate or OSError."""
    said = updater.mark(word)
    updater.tell(by, f"what runs was marked {word}")
    return said


def rollback(updater: Updater, by: str) -> str:
    """Go back, or take back what waits; what was done. Raises CannotUpdate, BadInput or OSError."""
    with updater.alone():
        said = updater.rollback()
        updater.tell(by, f"rollback: {said}")
    return said
