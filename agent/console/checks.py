"""The numbered checks of a box. Their numbers never change: technicians know them by heart.

Each works alone, with the agent dead, the camera cut and the broker away.
"""

from collections.abc import Callable, Iterable, Iterator

import msgspec

from agent.base.health_model import HealthReport
from agent.console.errors import ConsoleError
from agent.console.format import format_bytes, format_duration
from agent.console.results import Box, CheckResult

MAX_FRAME_AGE_S = 5.0
CAMERA_OPEN_GRACE_S = 10.0
"""So long a camera may take to open."""


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One check: its number, what it looks at, and how."""

    number: int
    name: str
    run: Callable[[Box], Iterable[CheckResult]]


def check_board(box: Box) -> Iterable[CheckResult]:
    """What the board says of its supply, its heat and its memory."""
    return box.check_board()


def check_disk(box: Box) -> Iterable[CheckResult]:
    """Whether it can be written."""
    return (box.check_disk(),)


def check_clock(box: Box) -> Iterable[CheckResult]:
    """Whether UTC can be trusted."""
    return (box.check_clock(),)


def check_configuration(box: Box) -> Iterable[CheckResult]:
    """The file as it stands now."""
    problem = box.check_config(full=True)
    message = "good" if problem is None else problem
    advice = None if problem is None else "Mend the file, then: config check."
    return (
        CheckResult(subject="configuration", ok=problem is None, message=message, advice=advice),
    )


def check_agent(box: Box) -> Iterator[CheckResult]:
    """Whether the program that records is alive, and its parts turn."""
    agent_state = box.agent_state()
    if agent_state.state != "runs":
        last_seen = (
            ""
            if agent_state.report_age_s is None
            else f", last heard {format_duration(agent_state.report_age_s)} ago"
        )
        yield CheckResult(
            subject="agent",
            ok=False,
            message=f"{'hangs' if agent_state.state == 'hangs' else 'is dead'}{last_seen}",
            advice="It is started again by itself. If not: log tells why, reboot restarts the box.",
        )
        return
    failing_stages = [
        stage
        for stage in (agent_state.report.stages if agent_state.report else ())
        if stage.state == "failing"
    ]
    if failing_stages:
        for stage in failing_stages:
            yield CheckResult(
                subject=f"stage {stage.name}",
                ok=False,
                message=f"fails: {stage.last_error or 'unknown'}",
                advice="Look at log.",
            )
        return
    yield CheckResult(subject="agent", ok=True, message="runs, all its parts turn")


def check_cameras(box: Box) -> Iterator[CheckResult]:
    """Whether each gives pictures: asked of the agent, or tried here where that is dead."""
    names = box.camera_names()
    if not names:
        yield CheckResult(subject="cameras", ok=None, message="no configuration that names any")
        return
    report = _live_report(box)
    health_by_name = {camera.name: camera for camera in report.cameras} if report else {}
    for name in names:
        camera = health_by_name.get(name)
        if report is None:
            yield _open_camera_directly(box, name)
        elif report.uptime_s < CAMERA_OPEN_GRACE_S and (camera is None or not camera.open):
            yield CheckResult(
                subject=f"camera {name}", ok=None, message="not open yet: the agent has begun"
            )
        elif camera is None or not camera.open:
            reason = camera.last_error if camera and camera.last_error else "not open"
            yield _failed(box, f"camera {name}", reason, "CAM-01")
        elif camera.age_s is None or camera.age_s > MAX_FRAME_AGE_S:
            newest = (
                "none yet" if camera.age_s is None else f"none for {format_duration(camera.age_s)}"
            )
            yield _failed(box, f"camera {name}", f"open, and gives no pictures: {newest}", "CAM-02")
        else:
            yield CheckResult(
                subject=f"camera {name}", ok=True, message=f"{camera.fps:.1f} pictures/s"
            )


def _open_camera_directly(box: Box, name: str) -> CheckResult:
    """The agent is dead, so the camera is free."""
    try:
        preview = box.open_preview(name)
    except ConsoleError as error:
        return _failed(box, f"camera {name}", str(error), "CAM-01")
    try:
        picture = preview.read(10.0)
    except ConsoleError as error:
        return _failed(box, f"camera {name}", str(error), "CAM-02")
    finally:
        preview.close()
    if picture is None:
        return _failed(box, f"camera {name}", "opens here, and gives no picture", "CAM-02")
    message = f"gives pictures ({picture.width_px} x {picture.height_px}), tried here"
    return CheckResult(subject=f"camera {name}", ok=True, message=message)


def check_recording(box: Box) -> Iterator[CheckResult]:
    """Whether footage grows."""
    report = _live_report(box)
    if report is None:
        yield CheckResult(
            subject="recording",
            ok=False,
            message="nothing is recorded while the agent does not run",
        )
        return
    faults_by_code = {fault.code: fault for fault in report.faults}
    for footage in report.footage:
        message = f"{format_bytes(footage.bytes)} since {footage.oldest_utc or 'now'}"
        message += ", sealed" if footage.sealed else ""
        disk_fault = faults_by_code.get("STO-02") or faults_by_code.get("STO-03")
        if disk_fault is not None:
            yield _failed(
                box, f"recording {footage.camera}", disk_fault.detail or message, disk_fault.code
            )
        else:
            yield CheckResult(subject=f"recording {footage.camera}", ok=True, message=message)
    if not report.footage:
        yield CheckResult(subject="recording", ok=None, message="no camera is recorded")


def check_custody_log(box: Box) -> Iterable[CheckResult]:
    """Whether receipts can be written."""
    return (box.check_custody_log(),)


def check_heads(box: Box) -> Iterator[CheckResult]:
    """Whether each pan-tilt head answers."""
    names = () if box.config is None else tuple(head.name for head in box.config.head)
    if not names:
        yield CheckResult(subject="heads", ok=None, message="none is configured")
        return
    report = _live_report(box)
    health_by_name = {head.name: head for head in report.heads} if report else {}
    for name in names:
        head = health_by_name.get(name)
        if head is None:
            yield CheckResult(
                subject=f"head {name}",
                ok=None,
                message="only the running agent can ask it; see serial",
            )
        elif head.open and head.pan_deg is not None:
            yield CheckResult(subject=f"head {name}", ok=True, message="answers")
        else:
            code = "PTZ-03" if head.open else "PTZ-01"
            yield _failed(box, f"head {name}", head.last_error or "does not answer", code)


def check_pins(box: Box) -> Iterator[CheckResult]:
    """Whether the contacts can be read, and what they say."""
    if box.config is None or not box.config.pin:
        yield CheckResult(subject="pins", ok=None, message="none is configured")
        return
    report = _live_report(box)
    if report is None or report.pins is None:
        yield CheckResult(subject="pins", ok=None, message="only the running agent has them open")
        return
    pin_faults = [fault for fault in report.faults if fault.code.startswith("GPI-")]
    for fault in pin_faults:
        yield _failed(box, f"pin {fault.subject}", fault.detail or fault.title, fault.code)
    if not pin_faults:
        yield CheckResult(subject="pins", ok=True, message="can be read, and tell of nothing bad")


def check_network(box: Box) -> Iterable[CheckResult]:
    """Interfaces, the modem, and the way out."""
    return (*box.check_interfaces(), *box.check_modem())


def check_dns(box: Box) -> Iterable[CheckResult]:
    """The broker's name."""
    return (box.check_dns(),)


def check_certificates(box: Box) -> Iterable[CheckResult]:
    """The box's own files."""
    return box.check_certificates()


def check_broker(box: Box) -> Iterable[CheckResult]:
    """As far as it can be reached."""
    return box.check_broker()


def check_centre(box: Box) -> Iterator[CheckResult]:
    """Whether somebody takes in what the box reports. That no centre listens is bad where the box has
    to wait for one, which the agent knows, and not where the broker's word frees its messages.
    """
    report = _live_report(box)
    if report is None:
        yield CheckResult(subject="centre", ok=None, message="only the running agent hears it")
        return
    outbox = report.outbox
    backlog = f"{outbox.depth} messages wait"
    no_centre_fault = next((fault for fault in report.faults if fault.code == "NET-03"), None)
    if not outbox.connected:
        yield _failed(box, "centre", "the agent has no connection to the broker", "NET-01")
    elif no_centre_fault is not None:
        yield _failed(
            box, "centre", f"{no_centre_fault.detail or no_centre_fault.title}; {backlog}", "NET-03"
        )
    elif outbox.centre_listening:
        yield CheckResult(subject="centre", ok=True, message=f"listens; {backlog}")
    else:
        message = (
            f"none listens; where there is none to wait for, the broker's word counts; {backlog}"
        )
        yield CheckResult(subject="centre", ok=None, message=message)


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


def _live_report(box: Box) -> HealthReport | None:
    """What the agent says now; None where it is not running."""
    agent_state = box.agent_state()
    return agent_state.report if agent_state.state == "runs" else None


def _failed(box: Box, subject: str, message: str, code: str) -> CheckResult:
    description = box.describe_fault(code)
    return CheckResult(
        subject=subject,
        ok=False,
        message=message,
        code=code,
        advice=description.advice if description else None,
    )
