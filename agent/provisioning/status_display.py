"""What is said of the first boot to who stands before the box: at its console, and by its light."""

import os
import textwrap
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

Light = Literal["slow", "fast", "own"]
"""slow: the box waits for its settings; fast: they are wrong; own: the light is the board's again."""

_HALF_MS = {"slow": 1000, "fast": 100}
_LEDS = ("ACT", "led0")
"""A Raspberry Pi's own, by its names of now and before."""
_COLUMNS = 78


def banner(title: str, lines: Sequence[str]) -> str:
    """A title and what belongs to it, so that nobody passes over it among the lines of a boot. Pure."""
    rule = "*" * _COLUMNS
    inner = [title, *(part for line in lines for part in _wrapped(line))]
    return "\n".join(["", rule, *(f"* {one}" for one in inner), rule, ""]) + "\n"


def _wrapped(line: str) -> list[str]:
    return textwrap.wrap(
        line, _COLUMNS - 4, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False
    )


def print_console(root: Path, text: str) -> None:
    """At the system's console, where it takes it at once: a boot waits for no cable."""
    with suppress(OSError):
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        handle = os.open(root / "dev/console", flags)
        try:
            os.write(handle, text.encode(errors="replace"))
        finally:
            os.close(handle)


def set_led(root: Path, light: Light) -> None:
    """Let the board's light blink, by the kernel, which goes on when this process is gone. A board that
    has none stays dark.
    """
    for name in _LEDS:
        led = root / "sys/class/leds" / name
        with suppress(OSError):
            known = (led / "trigger").read_text(encoding="ascii", errors="replace").split()
            if light == "own":
                if "[timer]" in known:
                    (led / "trigger").write_text("mmc0" if "mmc0" in known else "none")
            else:
                (led / "trigger").write_text("timer")
                for side in ("delay_on", "delay_off"):
                    (led / side).write_text(str(_HALF_MS[light]))
            return
