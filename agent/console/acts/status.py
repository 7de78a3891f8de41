"""The state of the box on one screen."""

from collections.abc import Iterator

import msgspec

from agent.base import update_keyring
from agent.base.health_model import HealthReport, Vitals
from agent.base.message import Message, Text, join_phrases
from agent.commands.command import NoArguments
from agent.config_change import config_check
from agent.console.acts.act import ActCall, act
from agent.console.agent_process import AgentState
from agent.console.context import ConsoleContext
from agent.console.machine_checks import describe_supply
from agent.console.text_format import format_bytes, format_duration, format_time
from agent.faults import diagnosis
from agent.health.vitals.power_supply import read_supplies
from agent.health.vitals.procfs import ProcFs


class StatusRow(msgspec.Struct, frozen=True):
    """One part of the box, and its state."""

    label: Text
    text: Text


class StatusFault(msgspec.Struct, frozen=True, kw_only=True):
    """One active fault, with its title in the technician's language."""

    code: str
    subject: str
    title: str


class BoxStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the box. `problems` are those of the configuration, of commands and of updates.

    `faults` is None if the agent has left no report. `is_current` is False if the agent does not run: the report is
    its last one.
    """

    box: str
    site: Text
    time: str
    is_clock_synced: bool
    agent: Text
    is_current: bool
    rows: tuple[StatusRow, ...]
    problems: tuple[Text, ...]
    faults: tuple[StatusFault, ...] | None


@act(lane="status", typed="status")
def status(call: ActCall, _args: NoArguments) -> BoxStatus:
    """Return the state of the box on one screen."""
    context = call.context
    agent_state = context.agent_state()
    report = agent_state.report
    return BoxStatus(
        box=context.box_id,
        site=context.site,
        time=format_time(context.now()),
        is_clock_synced=context.clock.trust().synced,
        agent=agent_state.words,
        is_current=agent_state.state == "running",
        rows=tuple(
            StatusRow(label, text)
            for label, text in (*_status_rows(agent_state), *_supply_rows(context))
        ),
        problems=tuple(_problems(context)),
        faults=None if report is None else tuple(_faults(context, report)),
    )


def _problems(context: ConsoleContext) -> Iterator[Message]:
    problem = config_check.find_load_problem(context.config_path)
    if problem is not None:
        yield Message("Configuration is not valid: {problem}", problem=problem)
    if context.config is not None and context.config.control.ca is None:
        yield Message("Commands of the centre: NOT authenticated, control.ca is not set")
    if update_keyring.trusts_test_authority(context.root):
        yield Message("Updates: {problem}", problem=update_keyring.TEST_AUTHORITY_WARNING)


def _faults(context: ConsoleContext, report: HealthReport) -> Iterator[StatusFault]:
    for fault in report.faults:
        guidance = context.fault_guidance(fault.code)
        title = guidance.title if guidance else fault.title
        yield StatusFault(code=fault.code, subject=fault.subject, title=title)


def _supply_rows(context: ConsoleContext) -> Iterator[tuple[Text, Text]]:
    for supply in read_supplies(ProcFs(context.root)):
        yield Message("Supply {name}", name=supply.name), describe_supply(supply)


def _status_rows(agent_state: AgentState) -> Iterator[tuple[Text, Text]]:
    report = agent_state.report
    if report is None:
        return
    if agent_state.state != "running":
        yield from _last_rows(report)
        return
    if diagnosis.is_shedding(report):
        yield Message("Sheds load"), diagnosis.shed_reason(report)
    for camera in report.cameras:
        yield (
            Message("Camera {name}", name=camera.name),
            diagnosis.find_camera(report, camera.name).words,
        )
    yield from _footage_rows(report)
    for head in report.heads:
        position = (
            diagnosis.find_head(report, head.name).words
            if head.pan_deg is None or head.tilt_deg is None
            else Message(
                "pan {pan_deg:.0f}, tilt {tilt_deg:.0f} degrees",
                pan_deg=head.pan_deg,
                tilt_deg=head.tilt_deg,
            )
        )
        yield (
            Message("Head {name}", name=head.name),
            join_phrases(position, Message("moving") if head.moving else None),
        )
    yield Message("Centre"), _format_centre(report)
    yield Message("Machine"), _format_machine(report)


def _footage_rows(report: HealthReport) -> Iterator[tuple[Text, Text]]:
    for footage in report.footage:
        since = (
            Message("since {time}", time=footage.oldest_utc)
            if footage.oldest_utc
            else Message("nothing yet")
        )
        yield (
            Message("Footage {camera}", camera=footage.camera),
            join_phrases(format_bytes(footage.bytes), since),
        )


def _last_rows(report: HealthReport) -> Iterator[tuple[Text, Text]]:
    """Yield what is still true of the last report of an agent that reports nothing now."""
    yield from _footage_rows(report)
    waited = Message(
        "unknown: the agent reports nothing; in its last report {count} messages waited",
        count=report.outbox.depth,
    )
    yield Message("Centre"), waited


def _format_centre(report: HealthReport) -> Message:
    outbox = report.outbox
    broker = diagnosis.find_broker(report)
    if broker.is_good is False:
        link = Message("broker NOT connected: {reason}", reason=broker.words)
    elif not outbox.connected:
        link = Message("broker not connected yet")
    elif outbox.centre_listening:
        link = Message("broker connected, centre listens")
    else:
        link = Message("broker connected, centre does not listen")
    backlog = Message("{link}; {count} messages wait", link=link, count=outbox.depth)
    if outbox.oldest_age_s is None:
        return backlog
    duration = format_duration(outbox.oldest_age_s)
    return Message("{backlog}, the oldest for {duration}", backlog=backlog, duration=duration)


def _format_machine(report: HealthReport) -> Text:
    vitals = report.vitals
    celsius, load = vitals.soc_celsius, vitals.load_1min
    memory = vitals.memory_available_bytes
    return join_phrases(
        None if celsius is None else Message("{celsius:.0f} C", celsius=celsius),
        None if load is None else Message("load {load:.1f}", load=load),
        None if memory is None else Message("{size} of memory free", size=format_bytes(memory)),
        _format_disks(vitals),
    ) or Message("unknown")


def _format_disks(vitals: Vitals) -> Message | None:
    state, footage = vitals.state_free_bytes, vitals.footage_free_bytes
    if state is None or footage is None:
        return None
    if not vitals.is_footage_separate:
        return Message("{size} of disk free", size=format_bytes(footage))
    return Message(
        "{footage} free for footage, {state} for the rest of the state",
        footage=format_bytes(footage),
        state=format_bytes(state),
    )
