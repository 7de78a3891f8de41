"""`status`: the state of the box on one screen."""

from collections.abc import Iterator, Sequence

from agent.app import config_check
from agent.base.health_model import HealthReport
from agent.console.agent_process import AgentState
from agent.console.arguments import no_more_args
from agent.console.context import ConsoleContext
from agent.console.session import ConsoleCommand
from agent.console.terminal import Terminal
from agent.console.text_format import format_bytes, format_duration, format_time


def run(terminal: Terminal, context: ConsoleContext, argv: Sequence[str]) -> None:
    """Print the state."""
    no_more_args("status", argv)
    agent_state = context.agent_state()
    clock = "clock synchronised" if context.clock.trust().synced else "clock NOT synchronised"
    terminal.print(
        f"Box {context.box_id}, {context.site}", f"{format_time(context.now())}, {clock}"
    )
    terminal.table([("Agent", format_agent_state(agent_state)), *_status_rows(agent_state)])
    problem = config_check.find_problem(context.config_path, context.clock)
    if problem is not None:
        terminal.print(f"Configuration is not valid: {problem}")
    report = agent_state.report
    if report is None:
        terminal.print("Faults: unknown without a report of the agent; see check")
    else:
        label = "Faults" if agent_state.state == "running" else "Faults in its last report"
        terminal.print(f"{label}: {len(report.faults) or 'none'}")
        terminal.table([(f.code, f.subject, f.title) for f in report.faults], indent="  ")
    terminal.print("Next: check finds out what is wrong, faults shows what to do about it.")


def format_agent_state(agent_state: AgentState) -> str:
    """Format the agent's state in one line."""
    report = agent_state.report
    if agent_state.state == "running" and report is not None:
        return f"runs for {format_duration(report.uptime_s)}, version {report.version}"
    last_seen = (
        "never heard"
        if agent_state.report_age_s is None
        else f"last heard {format_duration(agent_state.report_age_s)} ago"
    )
    return {
        "running": "runs, no report yet",
        "hung": f"HANGS: its process listens, but reports nothing ({last_seen})",
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
        yield f"Head {head.name}", f"{position}{', moving' if head.moving else ''}"
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
    memory, disk = vitals.memory_available_bytes, vitals.disk_free_bytes
    parts = [
        "" if vitals.soc_celsius is None else f"{vitals.soc_celsius:.0f} C",
        "" if vitals.load_1min is None else f"load {vitals.load_1min:.1f}",
        "" if memory is None else f"{format_bytes(memory)} of memory free",
        "" if disk is None else f"{format_bytes(disk)} of disk free",
    ]
    return ", ".join(part for part in parts if part) or "unknown"


STATUS = ConsoleCommand(
    name="status",
    help="the state of the box on one screen",
    usage=("status",),
    run=run,
)
