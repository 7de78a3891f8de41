"""`status`: how the box is, on one screen."""

from collections.abc import Iterator, Sequence

from agent.base.health_model import HealthReport
from agent.console.arguments import no_more_args
from agent.console.format import format_bytes, format_duration, format_time
from agent.console.results import AgentState, Box
from agent.console.terminal import Terminal

NAME = "status"
HELP = "how the box is, on one screen"
USAGE = ("status",)


def run(terminal: Terminal, box: Box, argv: Sequence[str]) -> None:
    """Show it."""
    no_more_args(NAME, argv)
    agent_state, clock_trust = box.agent_state(), box.clock_trust()
    clock_note = "clock good" if clock_trust.synced else "clock NOT synchronised"
    terminal.print(f"Box {box.id}, {box.site}", f"{format_time(box.now())}, {clock_note}")
    terminal.table([("Agent", format_agent_state(agent_state)), *_status_rows(agent_state)])
    problem = box.check_config()
    if problem is not None:
        terminal.print(f"Configuration is not good: {problem}")
    report = agent_state.report
    if report is None:
        terminal.print("Faults: it has told of none; check looks for itself")
    else:
        label = "Faults" if agent_state.state == "runs" else "Faults, when it was last heard"
        terminal.print(f"{label}: {len(report.faults) or 'none'}")
        terminal.table([(f.code, f.subject, f.title) for f in report.faults], indent="  ")
    terminal.print("Next: check finds what is wrong, faults tells what to do about it.")


def format_agent_state(agent_state: AgentState) -> str:
    """The agent in one line."""
    if agent_state.state == "runs" and agent_state.report is not None:
        return f"runs for {format_duration(agent_state.report.uptime_s)}, version {agent_state.report.version}"
    last_seen = (
        "never heard"
        if agent_state.report_age_s is None
        else f"last heard {format_duration(agent_state.report_age_s)} ago"
    )
    return {
        "runs": "runs, and has not said yet how it is",
        "hangs": f"HANGS: it is there and says nothing ({last_seen})",
        "dead": f"DEAD ({last_seen}): nothing is recorded",
    }[agent_state.state]


def _status_rows(agent_state: AgentState) -> Iterator[tuple[str, str]]:
    report = agent_state.report
    if report is None:
        return
    for camera in report.cameras:
        newest = (
            "no picture yet"
            if camera.age_s is None
            else f"newest {format_duration(camera.age_s)} ago"
        )
        yield (
            f"Camera {camera.name}",
            f"{camera.fps:.1f} pictures/s, {newest}" + ("" if camera.open else ", CLOSED"),
        )
    for footage in report.footage:
        since = footage.oldest_utc or "nothing yet"
        yield f"Footage {footage.camera}", f"{format_bytes(footage.bytes)}, since {since}"
    for head in report.heads:
        position = "does not answer"
        if head.pan_deg is not None and head.tilt_deg is not None:
            position = f"pan {head.pan_deg:.0f}, tilt {head.tilt_deg:.0f} degrees"
        yield f"Head {head.name}", f"{position}{', moves' if head.moving else ''}"
    yield "Centre", _format_centre(report)
    yield "Machine", _format_machine(report)


def _format_centre(report: HealthReport) -> str:
    outbox = report.outbox
    listens = "listens" if outbox.centre_listening else "does not listen"
    link = f"broker connected, centre {listens}" if outbox.connected else "broker NOT connected"
    oldest = (
        ""
        if outbox.oldest_age_s is None
        else f", the oldest for {format_duration(outbox.oldest_age_s)}"
    )
    return f"{link}; {outbox.depth} messages wait{oldest}"


def _format_machine(report: HealthReport) -> str:
    vitals = report.vitals
    parts = [
        "" if vitals.soc_celsius is None else f"{vitals.soc_celsius:.0f} C",
        "" if vitals.load_1min is None else f"load {vitals.load_1min:.1f}",
        ""
        if vitals.memory_available_bytes is None
        else f"{format_bytes(vitals.memory_available_bytes)} of memory free",
        ""
        if vitals.disk_free_bytes is None
        else f"{format_bytes(vitals.disk_free_bytes)} of disk free",
    ]
    return ", ".join(part for part in parts if part) or "unknown"
