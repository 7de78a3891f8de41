"""The agent's process as seen from outside: its health file and its control socket."""

import os
import signal
from pathlib import Path
from typing import Literal

import msgspec

from agent.base.health_model import HealthReport
from agent.health import health_file
from agent.runtime import control_client


class AgentState(msgspec.Struct, frozen=True, kw_only=True):
    """State of the agent. `hung`: its process listens, but its newest report is stale.

    `report` is its newest report of this boot, None if there is none.
    """

    state: Literal["running", "hung", "dead"]
    report_age_s: float | None = None
    report: HealthReport | None = None


def read_state(state_dir: Path, runtime_dir: Path, now_ns: int, boot_id: str) -> AgentState:
    """Read the agent's state from its health file and from its control socket."""
    health = health_file.read(runtime_dir, boot_id)
    if health is not None and not health.is_stale(now_ns):
        return AgentState(state="running", report_age_s=health.age_s(now_ns), report=health.report)
    state: Literal["hung", "dead"] = (
        "dead" if control_client.find_agent(state_dir) is None else "hung"
    )
    if health is None:
        return AgentState(state=state)
    return AgentState(state=state, report_age_s=health.age_s(now_ns), report=health.report)


def restart(state_dir: Path) -> bool:
    """Send SIGTERM to the agent, which systemd then starts again. Raises OSError.

    Return False if no agent listens: it is down or starting, and reads the new file by itself.
    """
    agent = control_client.find_agent(state_dir)
    if agent is None or agent.pid <= 1 or not agent.is_allowed:
        return False
    os.kill(agent.pid, signal.SIGTERM)
    return True
