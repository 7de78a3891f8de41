"""Show the result of provisioning at the system console and by the board's LED."""

import os
import textwrap
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

LedMode = Literal["waiting", "error", "restore"]
"""waiting: for settings, slow blinking; error: fast blinking; restore: the board's own use of the LED."""

_BLINK_HALF_PERIOD_MS = {"waiting": 1000, "error": 100}
_LED_NAMES = ("ACT", "led0")
"""Current and former name of a Raspberry Pi's own LED."""
_COLUMNS = 78


def format_banner(title: str, lines: Sequence[str]) -> str:
    """Frame a title and lines, so that they stand out among the boot messages. Pure."""
    rule = "*" * _COLUMNS
    body = [title, *(part for line in lines for part in _wrap(line))]
    return "\n".join(["", rule, *(f"* {row}" for row in body), rule, ""]) + "\n"


def _wrap(line: str) -> list[str]:
    return textwrap.wrap(
        line, _COLUMNS - 4, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False
    )


def print_console(root: Path, text: str) -> None:
    """Print at the system console without blocking: a boot does not wait for a cable."""
    with suppress(OSError):
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        handle = os.open(root / "dev/console", flags)
        try:
            os.write(handle, text.encode(errors="replace"))
        finally:
            os.close(handle)


def set_led(root: Path, mode: LedMode) -> None:
    """Set the board's LED, blinked by the kernel after this process has ended. A board without one is skipped."""
    for name in _LED_NAMES:
        led = root / "sys/class/leds" / name
        with suppress(OSError):
            triggers = (led / "trigger").read_text(encoding="ascii", errors="replace").split()
            if mode == "restore":
                if "[timer]" in triggers:
                    (led / "trigger").write_text("mmc0" if "mmc0" in triggers else "none")
            else:
                (led / "trigger").write_text("timer")
                for delay_file in ("delay_on", "delay_off"):
                    (led / delay_file).write_text(str(_BLINK_HALF_PERIOD_MS[mode]))
            return
