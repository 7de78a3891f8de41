"""Requests to root for updates, as files: see `agent.update.request_file`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from agent.console.errors import ConsoleError
from agent.update import rauc_backend, request_file, usb_bundle
from agent.update.request_file import UpdateAction, UpdateRequestStatus


class UpdateRequests(Protocol):
    """Root's door for updates. What fails raises ConsoleError, UserError or OSError; ConsoleError where this
    machine has no slots.
    """

    def list_bundles(self) -> Sequence[str]:
        """The files of bundles on what is plugged in."""
        ...

    def submit_request(self, action: UpdateAction, by: str, bundle: str | None = None) -> str:
        """Give an order; its id. `bundle` is the file, of `install` alone."""
        ...

    def read_status(self) -> UpdateRequestStatus | None:
        """What root tells of the order that it has taken last; None where it has taken none."""
        ...

    def withdraw_request(self, request_id: str) -> bool:
        """Take an order back. False where root has taken it already."""
        ...


class UpdateClient:
    """Of the machine whose files begin at `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folder = root / request_file.REQUEST_DIR.relative_to("/")

    def list_bundles(self) -> Sequence[str]:
        """On what is mounted."""
        self._require_slots()
        return usb_bundle.find_usb_bundles(self._root)

    def submit_request(self, action: UpdateAction, by: str, bundle: str | None = None) -> str:
        """A file asks: see systemd/vigie-update-request.path."""
        self._require_slots()
        try:
            return request_file.submit_request(self._folder, action, by, bundle)
        except FileExistsError as error:
            raise ConsoleError("another order waits already: try again in a minute") from error

    def read_status(self) -> UpdateRequestStatus | None:
        """A file tells."""
        return request_file.status_file(self._folder).read()

    def withdraw_request(self, request_id: str) -> bool:
        """The file goes."""
        return request_file.withdraw_request(self._folder, request_id)

    def _require_slots(self) -> None:
        try:
            cmdline = self._root / "proc/cmdline"
            rauc_backend.booted_slot(cmdline.read_text(encoding="utf-8", errors="replace"))
        except rauc_backend.NoSlots as error:
            raise ConsoleError(
                "this system was set up without an image: it has no slots, and no update here"
            ) from error
