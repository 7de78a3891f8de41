"""The numbered checks of a box. Their numbers never change: technicians know them by heart.

Each works alone, with the agent dead, the camera cut and the broker away.
"""

from collections.abc import Callable, Iterable, Iterator

import msgspec

from agent.app import config_check
from agent.base import update_keyring
from agent.base.errors import UserError
from agent.base.message import Message, Text, join_phrases, message_of
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
    name: Message
    run: Callable[[ConsoleContext], Iterable[CheckResult]]


def run_check(terminal: Terminal, context: ConsoleContext, check: Check, prefix: str = "") -> bool:
    """Run a check and print its results; False if one of them is bad."""
    try:
        results = list(context.with_advice(check.run(context)))
    except (ConsoleError, UserError, OSError) as error:
        results = [failed(check.name, message_of(error))]
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
    problems = config_check.find_problems(context.config_path, context.clock)
    if not problems:
        return (passed(Message("configuration"), Message("valid")),)
    advice = Message("Correct the file, then: config check.")
    return tuple(failed(Message("configuration"), problem, advice=advice) for problem in problems)


def check_agent(context: ConsoleContext) -> Iterator[CheckResult]:
    """Check that the agent runs, and none of its stages fails."""
    agent_state = context.agent_state()
    if agent_state.state != "running":
        age_s = agent_state.report_age_s
        yield failed(
            Message("agent"),
            join_phrases(
                Message("hangs") if agent_state.state == "hung" else Message("is dead"),
                None
                if age_s is None
                else Message("last heard {duration} ago", duration=format_duration(age_s)),
            ),
            advice=Message(
                "systemd restarts it by itself. If not: log shows why, reboot restarts the box."
            ),
        )
        return
    stages = agent_state.report.stages if agent_state.report else ()
    failing = [stage for stage in stages if stage.state == "failing"]
    for stage in failing:
        yield failed(
            Message("stage {name}", name=stage.name),
            Message("fails: {reason}", reason=stage.last_error or Message("unknown")),
            advice=Message("Look at log."),
        )
    if not failing:
        yield passed(Message("agent"), Message("runs, and none of its stages fails"))


def check_cameras(context: ConsoleContext) -> Iterator[CheckResult]:
    """Check that each camera gives pictures, by the agent's report or by opening it here."""
    if not context.camera_names:
        yield unknown(Message("cameras"), Message("the configuration names none, or is not valid"))
        return
    report = context.live_report()
    health_by_name = {camera.name: camera for camera in report.cameras} if report else {}
    for name in context.camera_names:
        camera = health_by_name.get(name)
        subject = Message("camera {name}", name=name)
        if report is None:
            yield _open_camera_directly(context, name)
        elif report.uptime_s < CAMERA_OPEN_GRACE_S and (camera is None or not camera.open):
            yield unknown(subject, Message("not open yet: the agent has just started"))
        elif camera is None or not camera.open:
            reason = camera.last_error if camera else None
            yield failed(subject, reason or Message("not open"), "CAM-01")
        elif camera.age_s is None or camera.age_s > MAX_FRAME_AGE_S:
            no_pictures = (
                Message("open, but gives no pictures: none yet")
                if camera.age_s is None
                else Message(
                    "open, but gives no pictures: none for {duration}",
                    duration=format_duration(camera.age_s),
                )
            )
            yield failed(subject, no_pictures, "CAM-02")
        else:
            yield passed(subject, Message("{fps:.1f} pictures/s", fps=camera.fps))


def _open_camera_directly(context: ConsoleContext, name: str) -> CheckResult:
    """Open a camera that no agent holds."""
    subject = Message("camera {name}", name=name)
    try:
        preview = context.open_preview(name)
    except ConsoleError as error:
        return failed(subject, message_of(error), "CAM-01")
    try:
        picture = preview.read(PICTURE_TIMEOUT_S)
    except ConsoleError as error:
        return failed(subject, message_of(error), "CAM-02")
    finally:
        preview.close()
    if picture is None:
        return failed(subject, Message("opens here, but gives no picture"), "CAM-02")
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
    report = context.live_report()
    if report is None:
        yield failed(
            Message("recording"), Message("nothing is recorded while the agent does not run")
        )
        return
    faults_by_code = {fault.code: fault for fault in report.faults}
    disk_fault = faults_by_code.get("STO-02") or faults_by_code.get("STO-03")
    for footage in report.footage:
        subject = Message("recording {camera}", camera=footage.camera)
        size = Message(
            "{size} since {time}",
            size=format_bytes(footage.bytes),
            time=footage.oldest_utc or Message("now"),
        )
        message = join_phrases(size, Message("sealed") if footage.sealed else None)
        if disk_fault is not None:
            yield failed(subject, disk_fault.detail or message, disk_fault.code)
        else:
            yield passed(subject, message)
    if not report.footage:
        yield unknown(Message("recording"), Message("no camera is recorded"))


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
        yield unknown(Message("heads"), Message("none is configured"))
        return
    report = context.live_report()
    health_by_name = {head.name: head for head in report.heads} if report else {}
    for name in context.head_names:
        head, subject = health_by_name.get(name), Message("head {name}", name=name)
        if head is None:
            yield unknown(subject, Message("only the running agent can ask it; see serial"))
        elif head.open and head.pan_deg is not None:
            yield passed(subject, Message("answers"))
        else:
            code = "PTZ-03" if head.open else "PTZ-01"
            yield failed(subject, head.last_error or Message("does not answer"), code)


def check_pins(context: ConsoleContext) -> Iterator[CheckResult]:
    """Check that the agent can read the pins, and that none reports a fault."""
    if context.config is None or not context.config.pin:
        yield unknown(Message("pins"), Message("none is configured"))
        return
    report = context.live_report()
    if report is None or report.pins is None:
        yield unknown(Message("pins"), Message("only the running agent has them open"))
        return
    pin_faults = [fault for fault in report.faults if fault.code.startswith("GPI-")]
    for fault in pin_faults:
        subject = Message("pin {name}", name=fault.subject)
        yield failed(subject, fault.detail or fault.title, fault.code)
    if not pin_faults:
        yield passed(Message("pins"), Message("can be read, and report no fault"))


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
        yield unknown(Message("centre"), Message("only the running agent knows"))
        return
    outbox = report.outbox
    no_centre_fault = next((fault for fault in report.faults if fault.code == "NET-03"), None)

    def with_backlog(finding: Text) -> Message:
        return Message("{finding}; {count} messages wait", finding=finding, count=outbox.depth)

    if not outbox.connected:
        message = Message("the agent has no connection to the broker")
        yield failed(Message("centre"), message, "NET-01")
    elif no_centre_fault is not None:
        finding = no_centre_fault.detail or no_centre_fault.title
        yield failed(Message("centre"), with_backlog(finding), "NET-03")
    elif outbox.centre_listening:
        yield passed(Message("centre"), with_backlog(Message("listens")))
    else:
        no_centre = Message("none listens, and the box does not wait for one")
        yield unknown(Message("centre"), with_backlog(no_centre))


def check_updates(context: ConsoleContext) -> Iterator[CheckResult]:
    """Check which authority signs the updates that the box installs."""
    subject = Message("updates")
    try:
        names = update_keyring.read_authorities(context.root / update_keyring.KEYRING_FILE)
    except FileNotFoundError:
        yield unknown(subject, Message("this system was set up without an image"))
        return
    if update_keyring.TEST_AUTHORITY in names:
        advice = Message("Tell the centre: the box needs an image that was built with KEYRING=.")
        yield failed(subject, update_keyring.TEST_AUTHORITY_WARNING, advice=advice)
    else:
        yield passed(subject, Message("signed by {names}", names=", ".join(names)))


CHECKS = tuple(
    Check(number=number, name=name, run=run)
    for number, (name, run) in enumerate(
        (
            (Message("power, heat, memory"), check_board),
            (Message("disk"), check_disk),
            (Message("clock"), check_clock),
            (Message("configuration"), check_configuration),
            (Message("agent"), check_agent),
            (Message("cameras"), check_cameras),
            (Message("recording"), check_recording),
            (Message("receipts"), check_custody_log),
            (Message("pan-tilt heads"), check_heads),
            (Message("pins"), check_pins),
            (Message("network"), check_network),
            (Message("names (DNS)"), check_dns),
            (Message("certificates"), check_certificates),
            (Message("broker"), check_broker),
            (Message("centre"), check_centre),
            (Message("updates"), check_updates),
        ),
        1,
    )
)

LINK_CHECKS = tuple(CHECKS[number - 1] for number in (11, 12, 13, 14, 3))
"""The checks of `net`, from the box's own plug to the broker, and the clock."""
