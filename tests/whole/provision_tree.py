"""A box's folders in a temporary place, and the real command that sets it up."""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.__main__ import __file__ as program
from tests.settings_files import GOOD_SETTINGS

CHECKOUT = Path(program).parents[1]
USER = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
"""The owner of the configuration: another user than this one, if root can choose."""


_RUN = "from agent.__main__ import main; raise SystemExit(main())"


class BoxTree:
    """The card, the configuration, the state, and a machine's dev, proc, run and sys."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.card, self.config, self.state = root / "select", root / "etc", root / "state"
        self.is_made = False

    def make(self) -> "BoxTree":
        """As the image mounts them before the first boot."""
        led = self.root / "sys/class/leds/ACT"
        for folder in ("dev", "run", "proc/sys/kernel", led, self.card, self.config, self.state):
            (self.root / folder).mkdir(parents=True)
        self.root.chmod(0o755)
        self.card.chmod(0o700)
        if os.geteuid() == 0:
            user = pwd.getpwnam(USER)
            for folder in (self.config, self.state):
                os.chown(folder, user.pw_uid, user.pw_gid)
        (self.root / "dev/console").touch()
        (self.root / "proc/sys/kernel/hostname").write_text("vigie\n")
        (led / "trigger").write_text("none [mmc0] timer\n")
        return self

    @property
    def command_args(self) -> list[str]:
        """Those of the command."""
        path_args = ["--select", self.card, "--config-dir", self.config, "--state", self.state]
        return ["provision", *map(str, path_args), "--root", str(self.root), "--user", USER]

    def insert_card(self, settings: str | bytes = GOOD_SETTINGS) -> None:
        """A technician inserts the card into the box."""
        data = settings.encode() if isinstance(settings, str) else settings
        (self.card / "vigie-settings.toml").write_bytes(data)

    def run_provision(
        self, expected_code: int = 0, python_prefix: str = "", *, traceback: bool = False
    ) -> str:
        """Run the command, after these lines of Python; return its output on the console of a system that
        has just started. With `traceback` an unexpected error is allowed.
        """
        (self.root / "dev/console").write_text("")
        done = subprocess.run(
            [sys.executable, "-c", f"{python_prefix}{_RUN}", *self.command_args],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == expected_code, done.stderr
        assert ("Traceback" in done.stderr) == traceback
        self.output = done.stdout + done.stderr
        return self.console

    @property
    def console(self) -> str:
        return " ".join((self.root / "dev/console").read_text().replace("\n*  ", "").split())

    def all_output(self) -> str:
        """Everything that a finder of the card could read."""
        texts = [self.output, (self.root / "dev/console").read_text()]
        texts += [path.read_text() for path in self.card.iterdir()]
        return "\n".join(texts)

    @property
    def led_state(self) -> tuple[str, str]:
        led = self.root / "sys/class/leds/ACT"
        on = led / "delay_on"
        return (led / "trigger").read_text().strip(), on.read_text() if on.exists() else ""

    def contents(self) -> dict[str, bytes]:
        """The configuration on the disk."""
        return {
            path.name: path.read_bytes() for path in sorted(self.config.iterdir()) if path.is_file()
        }


@contextmanager
def temporary_tree() -> Iterator[BoxTree]:
    """A machine before its first boot, for as long as it is needed."""
    # Not pytest's own folder, which no other user may enter.
    folder = Path(tempfile.mkdtemp(prefix="vigie-first-boot-"))
    try:
        yield BoxTree(folder).make()
    finally:
        shutil.rmtree(folder)
