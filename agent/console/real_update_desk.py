"""Root's door for updates, by files: see `agent.service.update_desk.UpdateDesk`."""

from collections.abc import Sequence
from pathlib import Path

from agent.service.box import CannotDo
from agent.service.update_desk import Do, Told
from agent.update import asking, backend, stick


class RealUpdateDesk:
    """Of the machine whose files begin at `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folder = root / asking.FOLDER.relative_to("/")

    def bundles(self) -> Sequence[str]:
        """On what is mounted."""
        self._refuse_without_slots()
        return stick.on_sticks(self._root)

    def ask(self, do: Do, by: str, bundle: str | None = None) -> str:
        """A file asks: see systemd/vigie-update-asked.path."""
        self._refuse_without_slots()
        try:
            return asking.ask(self._folder, do, by, bundle)
        except FileExistsError as error:
            raise CannotDo("another order waits already: try again in a minute") from error

    def told(self) -> Told | None:
        """A file tells."""
        return asking.told(self._folder)

    def withdraw(self, order: str) -> bool:
        """The file goes."""
        return asking.withdraw(self._folder, order)

    def _refuse_without_slots(self) -> None:
        try:
            cmdline = self._root / "proc/cmdline"
            backend.current(cmdline.read_text(encoding="utf-8", errors="replace"))
        except backend.NoSlots as error:
            raise CannotDo(
                "this system was set up without an image: it has no slots, and no update here"
            ) from error
