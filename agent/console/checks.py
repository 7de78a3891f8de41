"""The numbered checks of a box. Their numbers never change: technicians know them by heart.

Each works alone, with the agent dead, the camera cut and the broker away.
"""

from collections.abc import Callable, Iterable, Iterator

import msgspec

from agent.app import config_check
from agent.base.errors import UserError
from agent.console import machine_checks, modem_checks, network_checks
from agent.console.check_result import CheckResult, failed, passed, print_results, unknown
from agent.console.context import ConsoleContext
from agent.console.errors import ConsoleError
from agent.console.terminal import Terminal
from agent.console.text_format import format_bytes, format_duration

MAX_FRAME_AGE_S = 5.0
CAMERA_OPEN_GRACE_S = 10.0
"""Time that a camera may take to open after the agent's start."""
PICTURE_TIMEOUT_S = 10.0


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One check, with the function that yields its results.

    The function raises ConsoleError, UserError or OSError if it cannot look.
    """

    number: int
    name: str
    run: Callable[[ConsoleContext], Iterable[CheckResult]]


def run_check(terminal: Terminal, context: ConsoleContext, check: Check, prefix: str = "") -> bool:
    """Run a check and print its results; False if one of them is bad."""
    try:
        results = list(context.with_advice(check.run(context)))
    except (ConsoleError, UserError, OSError) as error:
        results = [failed(check.name, str(error))]
    print_results(terminal, results, prefix)
    return all(result.ok is not False for result in results)


def check_board(context: ConsoleContext) -> Iterable[CheckResult]:
    """Check the board's supply, temperature, memory and load."""
    return machine_checks.check_board(context.root)


def check_disk(context: ConsoleContext) -> Iterable[CheckResult]:
    """Check that the state folder can be written and has room."""
    return (machine_checks.check_disk(context.state_dir),)


def check_clock(context: ConsoleContext) -> Iterable[CheckResult]:
    """Check that UTC can be trusted."""
    return (network_checks.check_clock(context.clock, context.root),)


def check_configuration(context: ConsoleContext) -> Iterable[CheckResult]:
    """Check the file as it is now, with its drivers' options, scenes and models."""
    problem = config_check.find_problem(context.config_path, context.clock, deep=True)
    if problem is None:
        return (passed("configuration", "valid"),)
    return (failed("configuration", problem, advice="Correct the file, then: config check."),)


def check_agent(context: ConsoleContext) -> Iterator[CheckResult]:
    """Check that the agent runs, and none of its stages fails."""
    agent_state = context.agent_state()
    if agent_state.state != "running":
        last_seen = (
            ""
            if agent_state.report_age_s is None
            else f", last heard {format_duration(agent_state.report_age_s)} ago"
        )
        yield failed(
            "agent",
            f"{'hangs' if agent_state.state == 'hung' else 'is dead'}{last_seen}",
            advice="systemd restarts it by itself. If not: log shows why, reboot restarts the box.",
        )
        return
    stages = agent_state.report.stages if agent_state.report else ()
    failing = [stage for stage in stages if stage.state == "failing"]
    for stage in failing:
        yield failed(
            f"stage {stage.name}", f"fails: {stage.last_error or 'unknown'}", advice="Look at log."
        )
    if not failing:
        yield passed("agent", "runs, and none of its stages fails")


def check_cameras(context: ConsoleContext) -> Iterator[CheckResult]:
    """Check that each camera gives pictures, by the agent's report or by opening it here."""
    if not context.camera_names:
        yield unknown("cameras", "the configuration names none, or is not valid")
        return
    report = context.live_report()
    health_by_name = {camera.name: camera for camera in report.cameras} if report else {}
    for name in context.camera_names:
        camera = health_by_name.get(name)
        subject = f"camera {name}"
        if report is None:
            yield _open_camera_directly(context, name)
        elif report.uptime_s < CAMERA_OPEN_GRACE_S and (camera is None or not camera.open):
            yield unknown(subject, "not open yet: the agent has just started")
        elif camera is None or not camera.open:
            reason = camera.last_error if camera and camera.last_error else "not open"
            yield failed(subject, reason, "CAM-01")
        elif camera.age_s is None or camera.age_s > MAX_FRAME_AGE_S:
            newest = (
                "none yet" if camera.age_s is None else f"none for {format_duration(camera.age_s)}"
            )
            yield failed(subject, f"open, but gives no pictures: {newest}", "CAM-02")
        else:
            yield passed(subject, f"{camera.fps:.1f} pictures/s")


def _open_camera_directly(context: ConsoleContext, name: str) -> CheckResult:
    """Open a camera that no agent holds."""
    subject = f"camera {name}"
    try:
        preview = context.open_preview(name)
    except ConsoleError as error:
        return failed(subject, str(error), "CAM-01")
    try:
        picture = preview.read(PICTURE_TIMEOUT_S)
    except ConsoleError as error:
        return failed(subject, str(error), "CAM-02")
    finally:
        preview.close()
    if picture is None:
        return failed(subject, "opens here, but gives no picture", "CAM-02")
    return passed(subject, f"gives pictures ({picture.width_px} x {picture.height_px}), tried here")


def check_recording(context: ConsoleContext) -> Iterator[CheckResult]:
    """Check that footage is recorded."""
    report = context.live_report()
    if report is None:
        yield failed("recording", "nothing is recorded while the agent does not run")
        return
    faults_by_code = {fault.code: fault for fault in report.faults}
    disk_fault = faults_by_code.get("STO-02") or faults_by_code.get("STO-03")
    for footage in report.footage:
        subject = f"recording {footage.camera}"
        message = f"{format_bytes(footage.bytes)} since {footage.oldest_utc or 'now'}"
        message += ", sealed" if footage.sealed else ""
        if disk_fault is not None:
            yield failed(subject, disk_fault.detail or message, disk_fault.code)
        else:
            yield passed(subject, message)
    if not report.footage:
        yield unknown("recording", "no camera is recorded")


def check_custody_log(context: ConsoleContext) -> Iterable[CheckResult]:
    """Check that receipts can be read and written."""
    try:
        custody = context.custody_log()
    except OSError as error:
        return (failed("receipts", str(error), "CUS-01"),)
    return (machine_checks.check_custody_log(custody),)


def check_heads(context: ConsoleContext) -> Iterator[CheckResult]:
    """Check that each pan-tilt head answers the agent."""
    if not context.head_names:
        yield unknown("heads", "none is configured")
        return
    report = context.live_report()
    health_by_name = {head.name: head for head in report.heads} if report else {}
    for name in context.head_names:
        head = health_by_name.get(name)
        if head is None:
            yield unknown(f"head {name}", "only the running agent can ask it; see serial")
        elif head.open and head.pan_deg is not None:
            yield passed(f"head {name}", "answers")
        else:
            code = "PTZ-03" if head.open else "PTZ-01"
            yield failed(f"head {name}", head.last_error or "does not answer", code)


def check_pins(context: ConsoleContext) -> Iterator[CheckResult]:
    """Check that the agent can read the pins, and that none reports a fault."""
    if context.config is None or not context.config.pin:
        yield unknown("pins", "none is configured")
        return
    report = context.live_report()
    if report is None or report.pins is None:
        yield unknown("pins", "only the running agent has them open")
        return
    pin_faults = [fault for fault in report.faults if fault.code.startswith("GPI-")]
    for fault in pin_faults:
        yield failed(f"pin {fault.subject}", fault.detail or fault.title, fault.code)
    if not pin_faults:
        yield passed("pins", "can be read, and report no fault")


def check_network(context: ConsoleContext) -> Iterator[CheckResult]:
    """Check the network interfaces, a cellular modem and the default route."""
    yield from network_checks.check_interfaces(context.root)
    yield from modem_checks.check_modem(context.root)


def check_dns(context: ConsoleContext) -> Iterable[CheckResult]:
    """Check that the broker's name resolves."""
    return (network_checks.check_dns(context.require_config().broker, context.root),)


def check_certificates(context: ConsoleContext) -> Iterable[CheckResult]:
    """Check the files of the box's certificate and of the broker's authority."""
    broker = context.require_config().broker
    return network_checks.check_certificates(broker, context.box_id, context.now())


def check_broker(context: ConsoleContext) -> Iterable[CheckResult]:
    """Check TCP and TLS to the broker."""
    return network_checks.check_broker(context.require_config().broker, context.clock)


def check_centre(context: ConsoleContext) -> Iterator[CheckResult]:
    """Check that a centre acknowledges the box's messages.

    An absent centre is bad only if the box has to wait for one, which is the agent's NET-03: without a
    control authority the broker's acknowledgement is enough.
    """
    report = context.live_report()
    if report is None:
        yield unknown("centre", "only the running agent knows")
        return
    outbox = report.outbox
    backlog = f"{outbox.depth} messages wait"
    no_centre_fault = next((fault for fault in report.faults if fault.code == "NET-03"), None)
    if not outbox.connected:
        yield failed("centre", "the agent has no connection to the broker", "NET-01")
    elif no_centre_fault is not None:
        message = f"{no_centre_fault.detail or no_centre_fault.title}; {backlog}"
        yield failed("centre", message, "NET-03")
    elif outbox.centre_listening:
        yield passed("centre", f"listens; {backlog}")
    else:
        yield unknown("centre", f"none listens, and the box does not wait for one; {backlog}")


CHECKS = tuple(
    Check(number=number, name=name, run=run)
    for number, (name, run) in enumerate(
        (
            ("power, heat, memory", check_board),
            ("disk", check_disk),
            ("clock", check_clock),
            ("configuration", check_configuration),
            ("agent", check_agent),
            ("cameras", check_cameras),
            ("recording", check_recording),
            ("receipts", check_custody_log),
            ("pan-tilt heads", check_heads),
            ("pins", check_pins),
            ("network", check_network),
            ("names (DNS)", check_dns),
            ("certificates", check_certificates),
            ("broker", check_broker),
            ("centre", check_centre),
        ),
        1,
    )
)

LINK_CHECKS = tuple(CHECKS[number - 1] for number in (11, 12, 13, 14, 3))
"""The checks of `net`, from the box's own plug to the broker, and the clock."""
