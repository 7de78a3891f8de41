"""The programs of the system that the console has run for it: fixed words, and no shell."""

import subprocess
from pathlib import Path

from agent.console.results import ConsoleError

JOURNALCTL = Path("/usr/bin/journalctl")
UNIT = "vigie-agent.service"
JOURNAL_S = 20.0
MMCLI = Path("/usr/bin/mmcli")
MODEM_S = 10.0


def journal(lines: int, program: Path = JOURNALCTL) -> list[str]:
    """The newest lines of the agent's unit. Raises CannotDo."""
    words = (
        "--unit",
        UNIT,
        "--lines",
        str(lines),
        "--no-pager",
        "--quiet",
        "--output",
        "short-iso",
    )
    return ran(program, words, JOURNAL_S).splitlines()


def ran(program: Path, words: tuple[str, ...], timeout_s: float) -> str:
    """What it says. Raises CannotDo."""
    try:
        done = subprocess.run(  # noqa: S603 - fixed words, and a number
            (str(program), *words),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
        )
    except FileNotFoundError as error:
        raise ConsoleError(f"{program} is not on this system") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConsoleError(f"{program.name}: {error}") from error
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise ConsoleError(
            f"{program.name}: {said[-1] if said else f'ended with {done.returncode}'}"
        )
    return done.stdout.decode("utf-8", "replace")
