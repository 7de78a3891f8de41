"""`status`: how the box is, on one screen."""

from collections.abc import Iterator, Sequence

from agent.base.health_model import HealthReport
from agent.console.arguments import no_more_args
from agent.console.format import age, bytes_told, moment_told
from agent.console.results import AgentState, Box
from agent.console.terminal import Terminal

NAME = "status"
HELP = "how the box is, on one screen"
USAGE = ("status",)


def run(terminal: Terminal, box: Box, words: Sequence[str]) -> None:
    """Show it."""
    no_more_args(NAME, words)
    life, trust = box.life(), box.trust()
    clock = "clock good" if trust.synced else "clock NOT synchronised"
    terminal.print(f"Box {box.id}, {box.site}", f"{moment_told(box.now())}, {clock}")
    terminal.table([("Agent", agent_told(life)), *_rows(life)])
    problem = box.config_problem()
    if problem is not None:
        terminal.print(f"Configuration is not good: {problem}")
    report = life.report
    if report is None:
        terminal.print("Faults: it has told of none; check looks for itself")
    else:
        said = "Faults" if life.state == "runs" else "Faults, when it was last heard"
        terminal.print(f"{said}: {len(report.faults) or 'none'}")
        terminal.table([(f.code, f.subject, f.title) for f in report.faults], indent="  ")
    terminal.print("Next: check finds what is wrong, faults tells what to do about it.")


def agent_told(life: AgentState) -> str:
    """The agent in one line."""
    if life.state == "runs" and life.report is not None:
        return f"runs for {age(life.report.uptime_s)}, version {life.report.version}"
    heard = "never heard" if life.age_s is None else f"last heard {age(life.age_s)} ago"
    return {
        "runs": "runs, and has not said yet how it is",
        "hangs": f"HANGS: it is there and says nothing ({heard})",
        "dead": f"DEAD ({heard}): nothing is recorded",
    }[life.state]


def _rows(life: AgentState) -> Iterator[tuple[str, str]]:
    report = life.report
    if report is None:
        return
    for camera in report.cameras:
        newest = "no picture yet" if camera.age_s is None else f"newest {age(camera.age_s)} ago"
        yield (
            f"Camera {camera.name}",
            f"{camera.fps:.1f} pictures/s, {newest}" + ("" if camera.open else ", CLOSED"),
        )
    for footage in report.footage:
        since = footage.oldest_utc or "nothing yet"
        yield f"Footage {footage.camera}", f"{bytes_told(footage.bytes)}, since {since}"
    for head in report.heads:
        where = "does not answer"
        if head.pan_deg is not None and head.tilt_deg is not None:
            where = f"pan {head.pan_deg:.0f}, tilt {head.tilt_deg:.0f} degrees"
        yield f"Head {head.name}", f"{where}{', moves' if head.moving else ''}"
    yield "Centre", _centre_told(report)
    yield "Machine", _machine_told(report)


def _centre_told(report: HealthReport) -> str:
    outbox = report.outbox
    listens = "listens" if outbox.centre_listens else "does not listen"
    link = f"broker connected, centre {listens}" if outbox.connected else "broker NOT connected"
    oldest = "" if outbox.oldest_age_s is None else f", the oldest for {age(outbox.oldest_age_s)}"
    return f"{link}; {outbox.depth} messages wait{oldest}"


def _machine_told(report: HealthReport) -> str:
    vitals = report.vitals
    parts = [
        "" if vitals.soc_celsius is None else f"{vitals.soc_celsius:.0f} C",
        "" if vitals.load_1min is None else f"load {vitals.load_1min:.1f}",
        ""
        if vitals.memory_available_bytes is None
        else f"{bytes_told(vitals.memory_available_bytes)} of memory free",
        ""
        if vitals.disk_free_bytes is None
        else f"{bytes_told(vitals.disk_free_bytes)} of disk free",
    ]
    return ", ".join(part for part in parts if part) or "unknown"
