"""Programs of the system that the console runs: fixed arguments, and no shell."""

import subprocess
from pathlib import Path

from agent.base.message import Message
from agent.console.errors import ConsoleError

JOURNALCTL = "usr/bin/journalctl"
AGENT_UNIT = "vigie-agent.service"
JOURNAL_TIMEOUT_S = 20.0
MMCLI = "usr/bin/mmcli"
MODEM_TIMEOUT_S = 10.0


def read_journal(root: Path, lines: int) -> list[str]:
    """Return the newest lines of the agent's journal. Raises ConsoleError."""
    argv = (
        "--unit",
        AGENT_UNIT,
        "--lines",
        str(lines),
        "--no-pager",
        "--quiet",
        "--output",
        "short-iso",
    )
    return run_program(root / JOURNALCTL, argv, JOURNAL_TIMEOUT_S).splitlines()


def run_program(program: Path, argv: tuple[str, ...], timeout_s: float) -> str:
    """Run a program and return its output. Raises ConsoleError with the last line of an error."""
    try:
        completed = subprocess.run(  # noqa: S603 - fixed words, and a number
            (str(program), *argv),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
        )
    except FileNotFoundError as error:
        raise ConsoleError(
            Message("{program} is not on this system", program=str(program))
        ) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConsoleError(f"{program.name}: {error}") from error
    if completed.returncode:
        stderr_lines = completed.stderr.decode("utf-8", "replace").strip().splitlines()
        reason = (
            stderr_lines[-1]
            if stderr_lines
            else Message("exit code {code}", code=completed.returncode)
        )
        raise ConsoleError(Message("{program}: {reason}", program=program.name, reason=reason))
    return completed.stdout.decode("utf-8", "replace")
