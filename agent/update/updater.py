"""Steps of an update: fetch, check, install, log."""

import contextlib
import fcntl
import logging
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from agent.base.errors import UserError
from agent.base.message import Message
from agent.base.progress import ProgressCallback
from agent.base.slot_state import FailedTrial, SlotRecord
from agent.update import pre_install, update_log, verity
from agent.update.bootloader import SLOTS, other_slot
from agent.update.download import Download, DownloadSpec, WaitOrStop
from agent.update.errors import UpdateError
from agent.update.https_get import HttpGet
from agent.update.rauc import RaucBundle, RaucClient
from agent.update.rauc_backend import RAUC_STATE_DIR, image_version, open_slots
from agent.update.slots import Slots
from agent.update.usb_bundle import BUNDLE_SUFFIX

log = logging.getLogger(__name__)

START_RECEIPTS_COMMAND = (
    "/usr/bin/systemctl",
    "--no-block",
    "start",
    "vigie-update-receipts.service",
)
DOWNLOADS_DIR = Path("/data/update")
UNKNOWN_VERSION = "(unknown)"


class VersionRefused(UpdateError):
    """This version failed its trial on this box or was rolled back, and was not requested again."""


class ProgressCallbacks(msgspec.Struct, frozen=True, kw_only=True):
    """Progress of the download and the check in bytes, and of RAUC in percent."""

    on_fetched: ProgressCallback
    on_checked: ProgressCallback
    on_installed: Callable[[int, str], None]


class SlotInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Status of one slot."""

    state: str
    version: str | None
    booted: bool


class SystemStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Status of the system."""

    version: str | None
    compatible: str | None
    bootloader: str
    booted: str
    default: str
    on_trial: bool
    pending: str | None
    tried: bool
    slots: dict[str, SlotInfo]
    failed_trial: FailedTrial | None
    refused: tuple[str, ...]


class Updater:
    """Updates of the machine whose files begin at `root`.

    Raises: UpdateError if it has no slots, UserError if this user may not see them.
    """

    def __init__(self, root: Path, rauc: RaucClient) -> None:
        self.root = root
        self._rauc = rauc
        try:
            self.slots: Slots = open_slots(root)
        except PermissionError as error:
            raise UserError(
                Message(
                    "{label}: {problem}; only root may update",
                    label=str(error.filename),
                    problem=error.strerror or str(error),
                )
            ) from error
        self.booted_version = image_version(root)
        self.downloads = root / DOWNLOADS_DIR.relative_to("/")

    def read_status(self) -> SystemStatus:
        """Read the status of the system."""
        state, selection = self.slots.read_state(), self.slots.read_selection()
        try:
            compatible = self._rauc.read_compatible()
        except UpdateError as error:
            log.warning("%s", error)
            compatible = None
        booted = self.slots.booted
        records = {name: state.slot(name) for name in SLOTS}
        if self.booted_version is not None:
            records[booted] = SlotRecord(state=records[booted].state, version=self.booted_version)
        return SystemStatus(
            version=self.booted_version,
            compatible=compatible,
            bootloader=self.slots.bootloader_name,
            booted=booted,
            default=selection.default,
            on_trial=self.slots.is_on_trial(),
            pending=selection.pending,
            tried=selection.tried,
            slots={
                name: SlotInfo(state=record.state, version=record.version, booted=name == booted)
                for name, record in records.items()
            },
            failed_trial=state.failed_trial,
            refused=state.refused,
        )

    def read_compatible(self) -> str:
        """Which bundles are for this box. Raises UpdateError."""
        return self._rauc.read_compatible()

    def record_action(self, requester: str, action: str) -> None:
        """Log an action for the custody log; a service of the agent's user writes the receipt, now if systemd
        starts it, else after the next boot.
        """
        log.info("%s: %s", requester, action)
        try:
            update_log.append_entry(
                self.root / RAUC_STATE_DIR.relative_to("/"), requester, f"update: {action}"
            )
            if self.root == Path("/"):
                subprocess.run(START_RECEIPTS_COMMAND, capture_output=True, timeout=10, check=False)  # noqa: S603
        except (OSError, subprocess.TimeoutExpired) as error:
            # The action itself is done, and stays done.
            log.warning("not in the update log: %s", error)

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the update lock. Raises: UserError if another update runs."""
        folder = self.root / RAUC_STATE_DIR.relative_to("/")
        folder.mkdir(parents=True, exist_ok=True)
        lock_fd = os.open(folder / "update.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(Message("another update is running; wait for its end")) from None
            yield
        finally:
            os.close(lock_fd)

    def check_not_on_trial(self) -> None:
        """Raise UpdateError while an installation would overwrite the fallback."""
        pre_install.check_not_on_trial(self.slots)

    def fetch(
        self,
        spec: DownloadSpec,
        http_get: HttpGet,
        callbacks: ProgressCallbacks,
        wait_or_stop: WaitOrStop,
    ) -> tuple[Path, Download]:
        """Download a bundle; other downloads are deleted, since there is room for one."""
        self.clean_downloads(keep=spec.file_name)
        download = Download(spec, self.downloads, http_get)
        return download.fetch(callbacks.on_fetched, wait_or_stop), download

    def clean_downloads(self, keep: str = "") -> None:
        """Delete downloads, except the one named `keep`."""
        for path in self.downloads.glob(f"*{BUNDLE_SUFFIX}*"):
            if not (keep and path.name.startswith(keep)):
                path.unlink(missing_ok=True)

    def check_bundle(
        self, path: Path, callbacks: ProgressCallbacks, *, retry_refused: bool
    ) -> RaucBundle:
        """Check a bundle completely before anything is written. Raises: UpdateError, UserError."""
        self.check_not_on_trial()
        self.slots.check_trial_possible()
        bundle = self._rauc.read_bundle_info(path)
        compatible = self._rauc.read_compatible()
        if bundle.compatible != compatible:
            raise UpdateError(
                Message(
                    "{file}: for {bundle}; this box is {box}",
                    file=path.name,
                    bundle=bundle.compatible,
                    box=compatible,
                )
            )
        pre_install.check_permitted(
            self.booted_version, bundle.version, allow_downgrade=bundle.downgrade
        )
        if bundle.version in self.slots.read_state().refused and not retry_refused:
            raise VersionRefused(
                Message(
                    "version {version} fell back here or was rolled back", version=bundle.version
                )
            )
        verity.verify_payload(path, bundle.payload, callbacks.on_checked)
        return bundle

    def install(self, path: Path, bundle: RaucBundle, callbacks: ProgressCallbacks) -> str:
        """Install a bundle, and return its slot."""
        log.info("installing version %s from %s", bundle.version, path)
        self._rauc.install(path, callbacks.on_installed)
        return other_slot(self.slots.booted)

    def mark_booted(self, verdict: str) -> str:
        """Mark the booted slot as `good` or `bad`, and return RAUC's output."""
        output = self._rauc.mark(verdict, "booted")
        if verdict == "good":
            self.slots.clear_refused_versions()
        return output

    def rollback(self) -> Message:
        """Return to the version before, and say in one sentence what was done. Raises: UpdateError.

        The other slot is tried like an update: it stays if it is found good. The booted version is refused
        from then on, although the feed may still offer it.
        """
        selection, booted = self.slots.read_selection(), self.slots.booted
        if self.slots.is_on_trial():
            self._rauc.mark("bad", "booted")
            return Message(
                "slot {booted} has failed its trial; the next boot is slot {default} again",
                booted=booted,
                default=selection.default,
            )
        if selection.pending is not None and not selection.tried:
            self._rauc.mark("active", "booted")
            return Message(
                "slot {pending} is not tried; slot {booted} stays",
                pending=selection.pending,
                booted=booted,
            )
        other_record = self.slots.read_state().slot(other_slot(booted))
        if other_record.state == "bad" and other_record.version:
            raise UpdateError(
                Message(
                    "version {version} in slot {slot} failed its trial: nothing to roll back to",
                    version=other_record.version,
                    slot=other_slot(booted),
                )
            )
        if other_record.state == "bad":
            raise UpdateError(
                Message(
                    "slot {slot} holds no working system: nothing to roll back to",
                    slot=other_slot(booted),
                )
            )
        self.slots.refuse_version(self.booted_version)
        self._rauc.mark("active", "other")
        return Message(
            "version {version} in slot {slot} is tried at the next reboot, and stays if it is found good",
            version=other_record.version or UNKNOWN_VERSION,
            slot=other_slot(booted),
        )


def open_updater(root: Path) -> Updater:
    """Open the updater of a machine with its RAUC. Raises as Updater does."""
    rauc_config = root / "etc/rauc/system.conf"
    return Updater(
        root, RaucClient() if root == Path("/") else RaucClient(("-c", str(rauc_config)))
    )
