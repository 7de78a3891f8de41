"""A whole agent whose clock is trusted, whatever the machine's is: incident_child.py CONFIG."""

import random
import sys
from pathlib import Path

from agent.app.actuator_specs import load_actuator_specs
from agent.app.agent import Agent
from agent.base.clock import ClockTrust, SystemClock
from agent.capture import camera_source
from agent.runtime.sd_notify import Notifier
from agent.runtime.stop_signals import StopSignals


class TrustedClock(SystemClock):
    def trust(self) -> ClockTrust:
        return ClockTrust(synced=True, source="ntp", error_s=0.01)


def main(config_file: Path) -> None:
    clock = TrustedClock()
    config, cameras = camera_source.load_sources(config_file, clock)
    specs = load_actuator_specs(config, clock, str(config_file))
    with StopSignals() as signals:
        agent = Agent(config, cameras, clock, random.Random(), specs=specs, notifier=Notifier())
        agent.start()
        while not signals.wait(1.0):
            agent.supervisor.check()
        assert agent.stop()


main(Path(sys.argv[1]))
