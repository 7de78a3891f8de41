"""The guard: wait for the agent's death, then stop its heads and set its outputs inactive.

It is a process of its own, started by `agent.failsafe.guard_stage`. It reads from its standard
input one line, its duties, then empty lines, the heartbeat, and perhaps another one, the dismissal.
The end of the input without a dismissal is the agent's death, of any cause, or its end while a head
or an output was not at rest. Silence is the same: a thread that waits in the kernel for a dead disk
or camera keeps a killed process, and its pipe, alive.
Until then the guard holds no port and no pin and has imported next to nothing, not even `site`; it
ignores the signals that are sent to a whole service or terminal. It exits after TIMEOUT_S at most,
and sooner if systemd waits for it: with 0 if all duties were done, otherwise with 1.

There is no guard against a death of both at once: a power cut, or SIGKILL to all processes of a
service. systemd does the latter by itself only after the guard's time is over: to a whole service
that has died or hangs it sends SIGTERM and the watchdog's SIGABRT, see systemd/vigie-agent.service.
"""

import os
import select
import signal
import site
import sys

TIMEOUT_S = 20.0
SERVICE_TIMEOUT_S = 5.0
"""systemd starts the agent again when the guard has exited. A head whose port has not come back by
then is stopped by the new agent, which stops each head that it opens."""
SILENCE_TIMEOUT_S = 5.0
"""Without a heartbeat, which comes each second. If the agent lives all the same, its heads have stopped once,
and it starts another guard."""
RESUME_TIMEOUT_S = 1.0
"""After a silence: a machine that was suspended lets the agent run first."""
STDIN = 0
IMPORT_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120 - pathlib is too large
IGNORED_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGABRT)


def main() -> None:
    """Wait for the agent's exit, and execute the duties if it was not a dismissal."""
    for number in IGNORED_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    duties = wait_for_agent_exit()
    if duties is None:
        return
    # Imported now, because a waiting guard must be small: it was started without `site`, so it
    # finds libraries, and the agent's code, only from here on.
    site.main()
    sys.path.insert(0, IMPORT_ROOT)
    from agent.failsafe.guard_duties import execute_duties  # noqa: PLC0415
    from drivers.serial_port import ignore_locks  # noqa: PLC0415

    ignore_locks()
    is_service = "NOTIFY_SOCKET" in os.environ
    is_done = execute_duties(duties, SERVICE_TIMEOUT_S if is_service else TIMEOUT_S)
    # A driver's thread may hang: it must not keep the process.
    os._exit(0 if is_done else 1)


def wait_for_agent_exit() -> bytes | None:
    """Return the duties once the agent has died; None if it dismissed the guard, or gave none."""
    lines: list[bytes] = []
    incomplete_line = b""
    while is_heard() and (chunk := os.read(STDIN, 65_536)):
        *complete_lines, incomplete_line = (incomplete_line + chunk).split(b"\n")
        lines += filter(None, complete_lines)
    # An incomplete line is no duty: the agent died before it had opened a device.
    return lines[0] if len(lines) == 1 else None


def is_heard() -> bool:
    """Wait for input or its end. Return False after a silence."""
    return any(
        select.select([STDIN], [], [], timeout_s)[0]
        for timeout_s in (SILENCE_TIMEOUT_S, RESUME_TIMEOUT_S)
    )


if __name__ == "__main__":
    main()
