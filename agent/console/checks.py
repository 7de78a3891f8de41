"""The numbered checks of a box. Their numbers never change: technicians know them by heart.

Each works alone, with the agent dead, the camera cut and the broker away. With a running agent its faults
decide: a check fails with a code if, and only if, `faults` lists it.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from agent.base import update_keyring
from agent.base.errors import UserError
from agent.base.health_model import HealthReport, PortHealth
from agent.base.message import Message, Text, join_phrases, message_of
from agent.config.recording import FOOTAGE_DIR
from agent.config_change import config_check
from agent.console import machine_checks, modem_checks, network_checks
from agent.console.check_result import (
    CheckResult,
    agree_with_faults,
    failed,
    not_applicable,
    passed,
    result_of,
    unknown,
)
from agent.console.context import ConsoleContext
from agent.console.errors import ConsoleError
from agent.console.text_format import format_bytes
from agent.faults import diagnosis
from agent.faults.registry import FaultCode
from agent.health.vitals.network_link import read_ports
from agent.health.vitals.procfs import ProcFs
from agent.reporting.renewal.credentials import current_broker

PICTURE_TIMEOUT_S = 10.0
_SILENT_STATES = ("hung", "restarting")
_AGENT_SILENT = Message("the agent has it and reports nothing: see check 5")

WATCH_S = 3.0
"""Between two readings of the CRC errors, if there has been one since the boot."""
SLOW_MBIT_S = 10
"""A port of 100 or 1000 Mbit/s falls back to it if a pair of the cable is bad."""
_CABLE_ADVICE = Message(
    "Push both plugs in until they click, and look for water and corrosion. Then try another cable, and another port of "
    "the switch."
)
_DUPLEX_ADVICE = Message(
    "Have the port of the switch set to automatic. If it is: try another cable."
)


def check_ports(root: Path, pause: Callable[[float], None] = time.sleep) -> Iterator[CheckResult]:
    """Check each wired port with a carrier. CRC errors are read again after `pause`: only rising ones count."""
    procfs = ProcFs(root)
    ports = read_ports(procfs)
    if any(port.rx_crc_errors for port in ports):
        crc_errors = {port.name: port.rx_crc_errors for port in ports}
        pause(WATCH_S)
        ports = read_ports(procfs)
    else:
        crc_errors = {}
    for port in ports:
        yield _judge_port(port, (port.rx_crc_errors or 0) - (crc_errors.get(port.name) or 0))


def _judge_port(port: PortHealth, new_crc_errors: int) -> CheckResult:
    subject = Message("port {name}", name=port.name)
    readings = _format_port(port)
    if new_crc_errors > 0:
        rising = Message(
            "{count} CRC errors in {seconds:.0f} s", count=new_crc_errors, seconds=WATCH_S
        )
        return failed(subject, join_phrases(rising, readings), advice=_CABLE_ADVICE)
    if port.speed_mbit_s is not None and port.speed_mbit_s <= SLOW_MBIT_S:
        return failed(subject, readings, advice=_CABLE_ADVICE)
    if port.duplex == "half":
        return failed(subject, readings, advice=_DUPLEX_ADVICE)
    if port.speed_mbit_s is None:
        return not_applicable(subject, readings)
    return passed(subject, readings)


def _format_port(port: PortHealth) -> Text:
    duplex_words = {"full": Message("full duplex"), "half": Message("half duplex"), None: None}
    counters = (
        (port.carrier_changes, Message("link changes")),
        (port.rx_errors, Message("receive errors")),
        (port.tx_errors, Message("send errors")),
        (port.rx_crc_errors, Message("CRC errors")),
        (port.dropped, Message("dropped")),
    )
    return join_phrases(
        Message("no speed reported")
        if port.speed_mbit_s is None
        else Message("{speed} Mbit/s", speed=port.speed_mbit_s),
        duplex_words[port.duplex],
        *(
            Message("{counter}: {count}", counter=words, count=count)
            for count, words in counters
            if count is not None
        ),
    )


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One check, with the function that yields its results.

    `codes` are the faults that it shows if no result of its own does: each code belongs to one check. The
    function raises ConsoleError, UserError or OSError if it cannot look.
    """

    number: int
    name: Message
    run: Callable[[ConsoleContext], Iterable[CheckResult]]
    codes: tuple[FaultCode, ...]


class CheckOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """The results of one check."""

    number: int
    name: Message
    results: tuple[CheckResult, ...]

    @property
    def is_good(self) -> bool:
        """True if none of the results is bad."""
        return all(result.ok is not False for result in self.results)

    @property
    def unknown_subjects(self) -> tuple[Text, ...]:
        """The parts of which the check could not find out whether they are good."""
        return tuple(result.subject for result in self.results if result.is_unknown)


def run_check(context: ConsoleContext, check: Check) -> CheckOutcome:
    """Run a check and return its results, with advice for those that are bad."""
    with context.one_agent_state():
        try:
            results = list(check.run(context))
        except (ConsoleError, UserError, OSError) as error:
            results = [failed(check.name, message_of(error))]
        report = context.live_report()
        if report is not None:
            results = list(agree_with_faults(results, report.faults, check.codes))
    return CheckOutcome(
        number=check.number, name=check.name, results=tuple(context.with_advice(results))
    )


def failing_first(outcomes: Iterable[CheckOutcome]) -> list[CheckOutcome]:
    """Return the failing checks before the others."""
    return sorted(outcomes, key=lambda outcome: outcome.is_good)


def check_board(context: ConsoleContext) -> Iterable[CheckResult]:
    """Check the board's supply, temperature, memory and load."""
    return machine_checks.check_board(context.root)


def check_disks(context: ConsoleContext) -> Iterable[CheckResult]:
    """Check that the state folder and the footage can be written and have room."""
    return machine_checks.check_disks(context.state_dir, context.state_dir / FOOTAGE_DIR)


def check_clock(context: ConsoleContext) -> Iterable[CheckResult]:
    """Check that UTC can be trusted."""
    return (network_checks.check_clock(context.clock, context.root),)


def check_configuration(context: ConsoleContext) -> Iterable[CheckResult]:
    """Check the file as it is now, with its drivers' options, scenes and models."""
    problems = config_check.find_problems(context.config_path, context.clock)
    if not problems:
        return (passed(Message("configuration"), Message("valid")),)
    advice = Message(
        "Read this to the centre. A change made here: config undo restores the file before it."
    )
    return tuple(failed(Message("configuration"), problem, advice=advice) for problem in problems)


def check_agent(context: ConsoleContext) -> Iterator[CheckResult]:
    """Check that the agent runs, and that none of its stages fails for a reason of its own."""
    agent_state = context.agent_state()
    subject = Message("agent")
    if agent_state.state == "restarting":
        yield unknown(subject, agent_state.words)
        return
    if agent_state.state != "running":
        yield failed(
            subject,
            agent_state.words,
            advice=Message(
                "systemd restarts it by itself. If not: log shows why, reboot restarts the box."
            ),
        )
        return
    failing = diagnosis.unexplained_stages(agent_state.report) if agent_state.report else ()
    for stage in failing:
        yield failed(
            Message("stage {name}", name=stage.name),
            Message("fails: {reason}", reason=stage.last_error or Message("unknown")),
            advice=Message("Look at log."),
        )
    if not failing:
        yield passed(subject, Message("runs, and none of its stages fails"))


def check_cameras(context: ConsoleContext) -> Iterator[CheckResult]:
    """Check that each camera gives pictures, by the agent's report or by opening it here."""
    if not context.camera_names:
        yield unknown(Message("cameras"), Message("the configuration names none, or is not valid"))
        return
    report, agent_state = context.live_report(), context.agent_state().state
    for name in context.camera_names:
        subject = Message("camera {name}", name=name)
        if report is not None:
            yield result_of(subject, diagnosis.find_camera(report, name))
            yield from _check_density(subject, report, name)
        elif agent_state in _SILENT_STATES:
            yield unknown(subject, _AGENT_SILENT)
        else:
            yield _open_camera_directly(context, subject, name)


def _check_density(subject: Message, report: HealthReport, name: str) -> Iterator[CheckResult]:
    """Name the lines and zones that the view does not support: for information, because the camera works."""
    camera = next((camera for camera in report.cameras if camera.name == name), None)
    if camera is None:
        return
    for place in camera.unsupported:
        yield not_applicable(subject, diagnosis.describe_unsupported(place))
    named = {(place.kind, place.name) for place in camera.unsupported if place.small_ratio}
    for area in () if camera.ground is None else camera.ground.low_density:
        if (area.kind, area.name) not in named:
            yield not_applicable(subject, diagnosis.describe_density(area))


def _open_camera_directly(context: ConsoleContext, subject: Message, name: str) -> CheckResult:
    """Open a camera that no agent holds."""
    try:
        preview = context.open_preview(name)
    except ConsoleError as error:
        if error.code is None:
            return unknown(subject, message_of(error))
        return failed(subject, message_of(error), error.code)
    try:
        picture = preview.read(PICTURE_TIMEOUT_S)
    except ConsoleError as error:
        return failed(subject, message_of(error), "CAM-02")
    finally:
        preview.close()
    if picture is None:
        return failed(subject, Message("opens here, but gives no picture"), "CAM-02")
    view = picture.aim.view.state
    if view != "good":
        return failed(subject, diagnosis.VIEW_WORDS[view], diagnosis.FAULT_OF_VIEW[view])
    return passed(
        subject,
        Message(
            "gives pictures ({width_px} x {height_px}), tried here",
            width_px=picture.width_px,
            height_px=picture.height_px,
        ),
    )


def check_recording(context: ConsoleContext) -> Iterator[CheckResult]:
    """Check that footage is recorded."""
    report, agent_state = context.live_report(), context.agent_state().state
    if report is None:
        if agent_state in _SILENT_STATES:
            yield unknown(Message("recording"), _AGENT_SILENT)
        else:
            not_recorded = Message("nothing is recorded while the agent does not run")
            yield failed(Message("recording"), not_recorded)
        return
    silent_cameras = {
        camera.name for camera in report.cameras if camera.state not in ("delivering", "slow")
    }
    for footage in report.footage:
        subject = Message("recording {camera}", camera=footage.camera)
        problem = diagnosis.find_recording(report, footage.camera)
        if problem is not None:
            yield result_of(subject, problem)
            continue
        if footage.oldest_utc is None:
            yield unknown(subject, Message("nothing yet"))
            continue
        size = Message(
            "{size} since {time}", size=format_bytes(footage.bytes), time=footage.oldest_utc
        )
        if footage.camera in silent_cameras:
            message = join_phrases(size, Message("nothing new: see check 6"))
            yield unknown(subject, message)
            continue
        yield passed(subject, join_phrases(size, Message("sealed") if footage.sealed else None))
    if not report.footage:
        yield not_applicable(Message("recording"), Message("no camera is recorded"))


def check_custody_log(context: ConsoleContext) -> Iterable[CheckResult]:
    """Check that receipts can be read and written."""
    try:
        custody = context.custody_log()
    except OSError as error:
        return (failed(Message("receipts"), str(error), "CUS-01"),)
    return (machine_checks.check_custody_log(custody),)


def check_heads(context: ConsoleContext) -> Iterator[CheckResult]:
    """Check that each pan-tilt head answers the agent."""
    if not context.head_names:
        yield not_applicable(Message("heads"), Message("none is configured"))
        return
    report = context.live_report()
    for name in context.head_names:
        subject = Message("head {name}", name=name)
        if report is None:
            yield unknown(subject, Message("only the running agent can ask it; see serial"))
        else:
            yield result_of(subject, diagnosis.find_head(report, name))


def check_pins(context: ConsoleContext) -> Iterator[CheckResult]:
    """Check that the agent can read the pins, and that none reports a fault."""
    if context.config is None or not context.config.pin:
        yield not_applicable(Message("pins"), Message("none is configured"))
        return
    report = context.live_report()
    if report is None or report.pins is None:
        yield unknown(Message("pins"), Message("only the running agent has them open"))
        return
    pin_faults = [fault for fault in report.faults if fault.code.startswith("GPI-")]
    for fault in pin_faults:
        subject = Message("pin {name}", name=fault.subject)
        result = failed(subject, fault.translatable_detail or fault.title, fault.code)
        yield msgspec.structs.replace(result, fault_subject=fault.subject)
    if not pin_faults:
        yield passed(Message("pins"), Message("can be read, and report no fault"))


def check_network(context: ConsoleContext) -> Iterator[CheckResult]:
    """Check the network interfaces, their ports, a cellular modem and the default route."""
    report = context.live_report()
    needs_route = report is not None and diagnosis.find_broker(report).is_good is False
    yield from network_checks.check_interfaces(context.root, needs_route=needs_route)
    yield from check_ports(context.root)
    yield from modem_checks.check_modem(context.root)


def check_dns(context: ConsoleContext) -> Iterable[CheckResult]:
    """Check that the broker's name resolves."""
    return (network_checks.check_dns(context.require_config().broker, context.root),)


def check_certificates(context: ConsoleContext) -> Iterable[CheckResult]:
    """Check the files of the box's certificate and of the broker's authority."""
    broker = current_broker(context.require_config())
    return network_checks.check_certificates(broker, context.box_id, context.now())


def check_broker(context: ConsoleContext) -> Iterator[CheckResult]:
    """Check the agent's connection, and TCP and TLS to the broker."""
    report = context.live_report()
    if report is not None:
        yield result_of(Message("connection"), diagnosis.find_broker(report))
    broker = current_broker(context.require_config())
    yield from network_checks.check_broker(broker, context.clock)


def check_centre(context: ConsoleContext) -> Iterator[CheckResult]:
    """Check that a centre acknowledges the box's messages."""
    report = context.live_report()
    if report is None:
        yield unknown(Message("centre"), Message("only the running agent knows"))
        return
    finding = diagnosis.find_centre(report)
    words = Message(
        "{finding}; {count} messages wait", finding=finding.words, count=report.outbox.depth
    )
    yield result_of(Message("centre"), msgspec.structs.replace(finding, words=words))


def check_updates(context: ConsoleContext) -> Iterator[CheckResult]:
    """Check which authority signs the updates that the box installs, and that it signs nothing else."""
    subject = Message("updates")
    keyring = context.root / update_keyring.KEYRING_FILE
    try:
        names = update_keyring.read_authorities(keyring)
    except FileNotFoundError:
        yield not_applicable(subject, Message("this system was set up without an image"))
        return
    if update_keyring.TEST_AUTHORITY in names:
        advice = Message("Tell the centre: the box needs an image that was built with KEYRING=.")
        yield failed(subject, update_keyring.TEST_AUTHORITY_WARNING, advice=advice)
        return
    config = context.config
    others = (
        {} if config is None else {"broker.ca": config.broker.ca, "control.ca": config.control.ca}
    )
    for key, path in others.items():
        shared = update_keyring.find_shared_authority(keyring, Path(path)) if path else None
        if shared is not None:
            advice = Message(
                "Tell the centre: the box needs an image with an authority for updates alone."
            )
            finding = Message(
                "the authority of updates {name} has the key of one in {key}, or has issued it",
                name=shared,
                key=key,
            )
            yield failed(subject, finding, advice=advice)
            return
    yield passed(subject, Message("signed by {names}", names=", ".join(names)))


_CHECKS: tuple[
    tuple[Message, Callable[[ConsoleContext], Iterable[CheckResult]], tuple[FaultCode, ...]], ...
] = (
    (
        Message("power, heat, memory"),
        check_board,
        ("SYS-02", "SYS-03", "SYS-04", "SYS-05", "SYS-07"),
    ),
    (Message("disk"), check_disks, ("STO-01", "STO-05", "STO-06", "STO-07", "STO-08")),
    (Message("clock"), check_clock, ("SYS-01", "SYS-09")),
    (Message("configuration"), check_configuration, ()),
    (Message("agent"), check_agent, ("CTL-01", "SVC-01", "SVC-02", "SYS-06", "SYS-08", "SYS-10")),
    (Message("cameras"), check_cameras, diagnosis.CAMERA_FAULTS),
    (Message("recording"), check_recording, (*diagnosis.RECORDING_FAULTS, "STO-04")),
    (Message("receipts"), check_custody_log, ("CUS-01", "CUS-02")),
    (Message("pan-tilt heads"), check_heads, diagnosis.HEAD_FAULTS),
    (Message("pins"), check_pins, ("GPI-01", "GPI-02", "GPI-03", "GPI-04", "GPI-05")),
    (Message("network"), check_network, ()),
    (Message("names (DNS)"), check_dns, ()),
    (Message("certificates"), check_certificates, ("NET-05", "NET-06")),
    (Message("broker"), check_broker, diagnosis.BROKER_FAULTS),
    (Message("centre"), check_centre, ("NET-03",)),
    (Message("updates"), check_updates, ()),
)

CHECKS = tuple(
    Check(number=number, name=name, run=run, codes=codes)
    for number, (name, run, codes) in enumerate(_CHECKS, 1)
)

LINK_CHECKS = tuple(CHECKS[number - 1] for number in (11, 12, 13, 14, 3))
"""The checks of `net`, from the box's own plug to the broker, and the clock."""
