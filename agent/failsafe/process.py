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

LONGEST_S = 20.0
LONGEST_OF_A_SERVICE_S = 5.0
"""systemd starts the agent anew when the guard has gone. A head whose port has not come back by then is
stopped by the new agent, which stops each head that it opens."""
STDIN = 0
HOUSE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120 - pathlib is too large
IGNORED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGABRT)


def main() -> None:
    """Wait, act where it is needed, and end."""
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    duties = wait_for_the_end()
    if duties is None:
        return
    # Imported now, because while it waits the guard must be small: it was started without `site`,
    # so it finds libraries, and the agent that it belongs to, only from here on.
    site.main()
    sys.path.insert(0, HOUSE)
    from agent.failsafe.duties import fulfil  # noqa: PLC0415

    of_service = "NOTIFY_SOCKET" in os.environ
    fulfil(duties, LONGEST_OF_A_SERVICE_S if of_service else LONGEST_S)
    # A driver's thread may hang: it must not keep the process.
    os._exit(0)


def wait_for_the_end() -> bytes | None:
    """The duties, once the agent has died; None where it has said goodbye, or never said what to
    do.
    """
    heard = b""
    while chunk := os.read(STDIN, 65_536):
        heard += chunk
    lines = heard.split(b"\n")
    # A line that was not finished is no duty: the agent died before it had opened anything.
    whole = [line for line in lines[:-1] if line]
    return whole[0] if len(whole) == 1 else None


if __name__ == "__main__":
    main()
