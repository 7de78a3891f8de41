"""Root's door for updates, by files: see `agent.update.request.UpdateDesk`."""

from collections.abc import Sequence
from pathlib import Path

from agent.console.results import ConsoleError
from agent.update import rauc_backend, request_file, usb_bundle
from agent.update.request import Do, UpdateProgress


class UpdateClient:
    """Of the machine whose files begin at `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folder = root / request_file.FOLDER.relative_to("/")

    def bundles(self) -> Sequence[str]:
        """On what is mounted."""
        self._refuse_without_slots()
        return usb_bundle.on_sticks(self._root)

    def submit_request(self, do: Do, by: str, bundle: str | None = None) -> str:
        """A file asks: see systemd/vigie-update-asked.path."""
        self._refuse_without_slots()
        try:
            return request_file.submit_request(self._folder, do, by, bundle)
        except FileExistsError as error:
            raise ConsoleError("another order waits already: try again in a minute") from error

    def read_status(self) -> UpdateProgress | None:
        """A file tells."""
        return request_file.read_status(self._folder)

    def withdraw(self, order: str) -> bool:
        """The file goes."""
        return request_file.withdraw(self._folder, order)

    def _refuse_without_slots(self) -> None:
        try:
            cmdline = self._root / "proc/cmdline"
            rauc_backend.current(cmdline.read_text(encoding="utf-8", errors="replace"))
        except rauc_backend.NoSlots as error:
            raise ConsoleError(
                "this system was set up without an image: it has no slots, and no update here"
            ) from error
