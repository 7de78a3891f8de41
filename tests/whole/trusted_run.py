"""`vigie run` whose clock is trusted, whatever the machine's is: trusted_run.py ARGUMENT..."""

import sys

from agent.__main__ import main
from agent.base.clock import ClockTrust, SystemClock
from agent.cli import run


class TrustedClock(SystemClock):
    def trust(self) -> ClockTrust:
        return ClockTrust(synced=True, source="ntp", error_s=0.01)


run.SystemClock = TrustedClock  # type: ignore[misc] # the machine of a test has no time server
sys.exit(main(["run", *sys.argv[1:]]))
