"""The agent's process as seen from outside: its health file, its control socket and its control group."""

import os
import signal
from pathlib import Path
from typing import Literal

import msgspec

from agent.base.health_model import HealthReport
from agent.base.message import Message
from agent.console.text_format import format_duration
from agent.health import health_file
from agent.runtime import control_client

CGROUP_PROCESSES = "sys/fs/cgroup/system.slice/vigie-agent.service/cgroup.procs"
"""The processes of the unit, cgroup_namespaces(7); a stopped unit has no such file, or an empty one."""


class AgentState(msgspec.Struct, frozen=True, kw_only=True):
    """State of the agent.

    hung        its process listens, but its newest report is stale
    restarting  its process runs, and does not listen: it starts, or is about to end
    stopped     it has stopped in order, and was not started again
    dead        it has ended otherwise, or never ran since the boot

    `report` is its newest report of this boot, None if there is none.
    """

    state: Literal["running", "hung", "restarting", "stopped", "dead"]
    report_age_s: float | None = None
    report: HealthReport | None = None

    @property
    def words(self) -> Message:
        """The state in one line."""
        report = self.report
        if self.state == "running":
            return (
                Message("runs, no report yet")
                if report is None
                else Message(
                    "runs for {duration}, version {version}",
                    duration=format_duration(report.uptime_s),
                    version=report.version,
                )
            )
        last_heard = (
            Message("never heard")
            if self.report_age_s is None
            else Message("last heard {duration} ago", duration=format_duration(self.report_age_s))
        )
        match self.state:
            case "hung":
                return Message(
                    "HANGS: its process listens, but reports nothing ({last_heard})",
                    last_heard=last_heard,
                )
            case "restarting":
                return Message(
                    "RESTARTING: its process runs and does not answer yet ({last_heard})",
                    last_heard=last_heard,
                )
            case "stopped":
                return Message(
                    "STOPPED in order ({last_heard}): nothing is recorded", last_heard=last_heard
                )
        return Message("DEAD ({last_heard}): nothing is recorded", last_heard=last_heard)


def read_state(
    state_dir: Path, runtime_dir: Path, now_ns: int, boot_id: str, root: Path = Path("/")
) -> AgentState:
    """Read the agent's state. `root` is the folder that contains `sys`."""
    health = health_file.read(runtime_dir, boot_id)
    report_age_s = None if health is None else health.age_s(now_ns)
    report = None if health is None else health.report
    state: Literal["running", "hung", "restarting", "stopped", "dead"]
    if health is not None and not health.is_stale(now_ns):
        state = "running"
    elif control_client.find_agent(state_dir) is not None:
        state = "hung"
    elif _has_processes(root):
        state = "restarting"
    else:
        state = "stopped" if health is not None and health.has_stopped else "dead"
    return AgentState(state=state, report_age_s=report_age_s, report=report)


def restart(state_dir: Path) -> bool:
    """Send SIGTERM to the agent, which systemd then starts again. Raises OSError.

    Return False if no agent listens: it is down or starting, and reads the new file by itself.
    """
    agent = control_client.find_agent(state_dir)
    if agent is None or agent.pid <= 1 or not agent.is_allowed:
        return False
    os.kill(agent.pid, signal.SIGTERM)
    return True


def _has_processes(root: Path) -> bool:
    try:
        return bool((root / CGROUP_PROCESSES).read_bytes().strip())
    except OSError:
        return False
