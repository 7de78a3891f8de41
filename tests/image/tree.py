"""The built system in a container: the tree of the image itself, where tests/systemd has the machine's own."""

import os
from pathlib import Path

from tests.image.disk import run_program
from tests.systemd.container import Container

BOUND_FOLDERS = {
    "state/vigie": "/var/lib/vigie",
    "state/config": "/etc/vigie",
    "data/footage": "/var/lib/vigie/footage",
}
"""The partitions of a box are folders of the test here."""


class ImageContainer(Container):
    """A booted one, of a squashfs. Nothing of it is written to but these folders."""

    def __init__(self, folder: Path, squashfs: Path, files: dict[str, str]) -> None:
        folder.mkdir(parents=True)
        tree = folder / "tree"
        run_program("unsquashfs", "-q", "-no-progress", "-d", tree, squashfs)
        binds: list[str] = []
        owner = self._agent_owner(tree)
        for name, inside in BOUND_FOLDERS.items():
            (folder / name).mkdir(parents=True)
            os.chown(folder / name, *owner)
            binds.append(f"--bind={folder / name}:{inside}")
        for name, text in files.items():
            file = folder / "state/config" / name
            file.write_text(text)
            os.chown(file, *owner)
        self._boot(
            f"vigie-image-{os.getpid()}",
            folder / "console.log",
            *("-D", str(tree), "--volatile=overlay", *binds),
        )

    def _is_up(self) -> bool:
        # Not multi-user.target: without a broker here, whether the boot is good stays open.
        output = self.run("systemctl", "is-active", "vigie-agent.service", check=False)
        return output.strip() == "active"

    @staticmethod
    def _agent_owner(tree: Path) -> tuple[int, int]:
        """The agent's user in the image."""
        for line in (tree / "etc/passwd").read_text().splitlines():
            name, _, user, group, *_ = line.split(":")
            if name == "vigie":
                return int(user), int(group)
        raise AssertionError("the image has no user vigie")
