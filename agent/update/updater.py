"""An update from the file to the slot, in order: fetch, check all of it, install, tell."""

import contextlib
import fcntl
import logging
import os
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from agent.base.errors import UserError
from agent.update import pre_install, update_log, verity
from agent.update.bootloader import SLOTS, other
from agent.update.download import Download, DownloadSpec, Progress, Wait
from agent.update.errors import UpdateError
from agent.update.rauc import Bundle, Rauc
from agent.update.rauc_backend import STATE, image_version, open_slots
from agent.update.slot_state import FellBack, SlotRecord
from agent.update.slots import Slots
from agent.update.usb_bundle import SUFFIX

log = logging.getLogger(__name__)

RECEIPTS = ("/usr/bin/systemctl", "--no-block", "start", "vigie-update-receipts.service")
DOWNLOADS = Path("/data/update")


class FellBackBefore(UpdateError):
    """This version failed its trial on this box or was rolled back, and nobody has asked for it again."""


class Steps(msgspec.Struct, frozen=True, kw_only=True):
    """Who is told how far it is: of the download, of the check, and by RAUC in percent."""

    fetched: Progress
    checked: Progress
    installed: Callable[[int, str], None]


class SlotInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A slot, for people and machines."""

    state: str
    version: str | None
    runs: bool


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """How the system stands."""

    version: str | None
    compatible: str | None
    firmware: str
    booted: str
    default: str
    on_trial: bool
    pending: str | None
    tried: bool
    slots: dict[str, SlotInfo]
    fell_back: FellBack | None
    refused: tuple[str, ...]


class Updater:
    """The updates of the machine whose files begin at `root`. Raises CannotUpdate where it has no
    slots, and BadInput without the right to see them.
    """

    def __init__(self, root: Path, rauc: Rauc) -> None:
        self.root = root
        self._rauc = rauc
        try:
            self.slots: Slots = open_slots(root)
        except PermissionError as error:
            raise UserError(f"{error.filename}: {error.strerror}; updates are root's") from error
        self.version = image_version(root)
        self.downloads = root / DOWNLOADS.relative_to("/")

    def status(self) -> Status:
        """How it stands."""
        book, choice = self.slots.book(), self.slots.choice()
        try:
            compatible = self._rauc.compatible()
        except UpdateError as error:
            log.warning("%s", error)
            compatible = None
        runs = self.slots.current
        known = {name: book.slot(name) for name in SLOTS}
        if self.version is not None:
            known[runs] = SlotRecord(state=known[runs].state, version=self.version)
        return Status(
            version=self.version,
            compatible=compatible,
            firmware=self.slots.firmware,
            booted=runs,
            default=choice.default,
            on_trial=self.slots.on_trial(),
            pending=choice.pending,
            tried=choice.tried,
            slots={
                name: SlotInfo(state=one.state, version=one.version, runs=name == runs)
                for name, one in known.items()
            },
            fell_back=book.fell_back,
            refused=book.refused,
        )

    def compatible(self) -> str:
        """Which bundles are for this box. Raises CannotUpdate."""
        return self._rauc.compatible()

    def tell(self, by: str, what: str) -> None:
        """Keep for the chain of custody what was done; the agent's user makes the receipt, now if
        systemd starts him, else after the next boot.
        """
        log.info("%s: %s", by, what)
        try:
            update_log.add(self.root / STATE.relative_to("/"), by, f"update: {what}")
            if self.root == Path("/"):
                subprocess.run(RECEIPTS, capture_output=True, timeout=10, check=False)  # noqa: S603
        except (OSError, subprocess.TimeoutExpired) as error:
            # What has been done has been done.
            log.warning("it is not told: %s", error)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """One update at a time. Raises BadInput where another one is under way."""
        folder = self.root / STATE.relative_to("/")
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / "update.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError("another update is under way; wait for its end") from None
            yield
        finally:
            os.close(handle)

    def refuse_on_trial(self) -> None:
        """Raise CannotUpdate where what is installed now would cost the way back."""
        pre_install.refuse_on_trial(self.slots)

    def fetch(
        self, wanted: DownloadSpec, trust: ssl.SSLContext, steps: Steps, wait: Wait
    ) -> tuple[Path, Download]:
        """Download it. What was left of others is thrown away: there is room for one."""
        self.clean_downloads(keep=wanted.name)
        download = Download(wanted, self.downloads, trust)
        return download.fetch(steps.fetched, wait), download

    def clean_downloads(self, keep: str = "") -> None:
        """Throw away downloads of others."""
        for path in self.downloads.glob(f"*{SUFFIX}*"):
            if not (keep and path.name.startswith(keep)):
                path.unlink(missing_ok=True)

    def check(self, path: Path, steps: Steps, *, again: bool) -> Bundle:
        """All that can be known before anything is written. Raises CannotUpdate or BadInput."""
        self.refuse_on_trial()
        bundle = self._rauc.info(path)
        compatible = self._rauc.compatible()
        if bundle.compatible != compatible:
            raise UpdateError(f"{path.name}: for {bundle.compatible}; this box is {compatible}")
        pre_install.check_permitted(self.version, bundle.version, downgrade=bundle.downgrade)
        if bundle.version in self.slots.book().refused and not again:
            raise FellBackBefore(f"version {bundle.version} fell back here or was rolled back")
        verity.check(path, bundle.payload, steps.checked)
        return bundle

    def install(self, path: Path, bundle: Bundle, steps: Steps) -> str:
        """Write it. The slot that it is in."""
        log.info("installing version %s from %s", bundle.version, path)
        self._rauc.install(path, steps.installed)
        return other(self.slots.current)

    def mark(self, word: str) -> str:
        """Say that what runs is `good` or `bad`. What RAUC said."""
        said = self._rauc.mark(word, "booted")
        if word == "good":
            self.slots.accept_version()
        return said

    def rollback(self) -> str:
        """Go back to what was before, in one sentence what was done. Raises CannotUpdate.

        The other slot is tried as an update is: it stays if it proves itself. What runs now does not
        come back unasked: the feed may still offer it.
        """
        choice, runs = self.slots.choice(), self.slots.current
        if self.slots.on_trial():
            self._rauc.mark("bad", "booted")
            return f"slot {runs} has failed its trial; the next boot is slot {choice.default} again"
        if choice.pending is not None and not choice.tried:
            self._rauc.mark("active", "booted")
            return f"slot {choice.pending} is not tried; slot {runs} stays"
        back = self.slots.book().slot(other(runs))
        if back.state == "bad":
            raise UpdateError(
                f"slot {other(runs)} holds no system that works: nothing to go back to"
            )
        self.slots.refuse(self.version)
        self._rauc.mark("active", "other")
        return (
            f"version {back.version or '(unknown)'} in slot {other(runs)} is tried at the next "
            "reboot, and stays if it proves itself"
        )


def updater_of(root: Path) -> Updater:
    """The updates of a machine, with RAUC as it is set up there. Raises as Updater does."""
    conf = root / "etc/rauc/system.conf"
    return Updater(root, Rauc() if root == Path("/") else Rauc(("-c", str(conf))))
