"""The guard: waits for the agent's death, then stops its heads and sets its outputs inactive.

It is a process of its own, started by `agent.failsafe.guard_stage`, and reads from its standard input
one line, its duties, and perhaps another, a goodbye. The end of the input without a goodbye is the
agent's death, whatever it died of, or its end while something had not come to rest. Until then it holds no port and no pin and has imported next to
nothing, not even `site`; it heeds none of the signals that go to a whole service or terminal. After at
most `LONGEST_S` it ends, and sooner where systemd waits for it.

What kills the agent and the guard at once cannot be guarded against: a power cut, or SIGKILL to all
processes of a service. systemd does neither by itself before the guard's time is over: what it sends
to a whole service that has died or hangs is SIGTERM and the watchdog's SIGABRT, see
systemd/vigie-agent.service.
"""

import os
import signal
import site
import sys

TIMEOUT_S = 20.0
SERVICE_TIMEOUT_S = 5.0
"""systemd starts the agent anew when the guard has gone. A head whose port has not come back by then is
stopped by the new agent, which stops each head that it opens."""
STDIN = 0
IMPORT_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120 - pathlib is too large
IGNORED_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGABRT)


def main() -> None:
    """Wait, act where it is needed, and end."""
    for number in IGNORED_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    duties = wait_for_agent_exit()
    if duties is None:
        return
    # Imported now, because while it waits the guard must be small: it was started without `site`,
    # so it finds libraries, and the agent that it belongs to, only from here on.
    site.main()
    sys.path.insert(0, IMPORT_ROOT)
    from agent.failsafe.guard_duties import execute_duties  # noqa: PLC0415

    is_service = "NOTIFY_SOCKET" in os.environ
    execute_duties(duties, SERVICE_TIMEOUT_S if is_service else TIMEOUT_S)
    # A driver's thread may hang: it must not keep the process.
    os._exit(0)


def wait_for_agent_exit() -> bytes | None:
    """The duties, once the agent has died; None where it has said goodbye, or never said what to
    do.
    """
    received = b""
    while chunk := os.read(STDIN, 65_536):
        received += chunk
    lines = received.split(b"\n")
    # A line that was not finished is no duty: the agent died before it had opened anything.
    complete_lines = [line for line in lines[:-1] if line]
    return complete_lines[0] if len(complete_lines) == 1 else None


if __name__ == "__main__":
    main()
