"""The agent of one box with heads, which also records the arrival of each command.

A command arrives when the session calls `Actuators.on_command`. Times are of CLOCK_MONOTONIC, which all
processes share. Run: `python -m bench.commanded_box CONFIG OUT`; until SIGTERM.
"""

import random
import sys
import time
from pathlib import Path

import msgspec

from agent.app import commands
from agent.app.agent import Agent
from agent.base.clock import SystemClock
from agent.base.model import IncomingCommand
from agent.capture import camera_source
from agent.commands.dispatcher import CommandDispatcher
from agent.config_change.actuator_specs import load_actuator_specs
from agent.config_change.start_config import StartConfig
from agent.runtime.sd_notify import Notifier
from agent.runtime.stop_signals import StopSignals


class CommandArrival(msgspec.Struct, frozen=True):
    """The id of a command, and its arrival."""

    id: str
    arrived_ns: int


class _CommandId(msgspec.Struct):
    id: str


arrivals: list[tuple[bytes, int]] = []


class RecordingDispatcher(CommandDispatcher):
    """A dispatcher that records each command's arrival before it handles it."""

    def submit(self, incoming: IncomingCommand) -> None:
        """Record the arrival, then queue the command."""
        arrivals.append((incoming.payload, time.monotonic_ns()))
        super().submit(incoming)


def main() -> None:
    """Run the box until a stop signal, then write the arrivals."""
    config_file, out = Path(sys.argv[1]), Path(sys.argv[2])
    clock = SystemClock()
    config, cameras = camera_source.load_sources(config_file, clock)
    commands.CommandDispatcher = RecordingDispatcher  # type: ignore[attr-defined]
    with StopSignals() as signals:
        agent = Agent(
            StartConfig(
                config=config,
                sources=cameras,
                specs=load_actuator_specs(config, clock, str(config_file)),
            ),
            clock,
            random.Random(1),
            notifier=Notifier(),
        )
        agent.start()
        while not signals.wait(agent.supervisor.check_interval_s):
            agent.supervisor.check()
        agent.stop()
    command_arrivals = [
        CommandArrival(msgspec.json.decode(payload, type=_CommandId).id, at_ns)
        for payload, at_ns in arrivals
    ]
    out.write_bytes(msgspec.json.encode(command_arrivals))


if __name__ == "__main__":
    main()
