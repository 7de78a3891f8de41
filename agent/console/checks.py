"""The numbered checks of a box. Their numbers never change: technicians know them by heart.

Each works alone, with the agent dead, the camera cut and the broker away.
"""

from collections.abc import Callable, Iterable, Iterator

import msgspec

from agent.base.health_model import HealthReport
from agent.console.format import age, bytes_told
from agent.console.results import Box, CheckResult, ConsoleError

FRAME_AGE_S = 5.0
BEGINNING_S = 10.0
"""So long a camera may take to open."""


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One check: its number, what it looks at, and how."""

    number: int
    name: str
    look: Callable[[Box], Iterable[CheckResult]]


def power_and_heat(box: Box) -> Iterable[CheckResult]:
    """What the board says of its supply, its heat and its memory."""
    return box.machine()


def disk(box: Box) -> Iterable[CheckResult]:
    """Whether it can be written."""
    return (box.disk(),)


def clock(box: Box) -> Iterable[CheckResult]:
    """Whether UTC can be trusted."""
    return (box.clock_sources(),)


def configuration(box: Box) -> Iterable[CheckResult]:
    """The file as it stands now."""
    problem = box.config_problem(deep=True)
    said = "good" if problem is None else problem
    advice = None if problem is None else "Mend the file, then: config check."
    return (CheckResult(what="configuration", good=problem is None, said=said, advice=advice),)


def agent(box: Box) -> Iterator[CheckResult]:
    """Whether the program that records is alive, and its parts turn."""
    life = box.life()
    if life.state != "runs":
        heard = "" if life.age_s is None else f", last heard {age(life.age_s)} ago"
        yield CheckResult(
            what="agent",
            good=False,
            said=f"{'hangs' if life.state == 'hangs' else 'is dead'}{heard}",
            advice="It is started again by itself. If not: log tells why, reboot restarts the box.",
        )
        return
    bad = [s for s in (life.report.stages if life.report else ()) if s.state == "failing"]
    if bad:
        for stage in bad:
            yield CheckResult(
                what=f"stage {stage.name}",
                good=False,
                said=f"fails: {stage.last_error or 'unknown'}",
                advice="Look at log.",
            )
        return
    yield CheckResult(what="agent", good=True, said="runs, all its parts turn")


def cameras(box: Box) -> Iterator[CheckResult]:
    """Whether each gives pictures: asked of the agent, or tried here where that is dead."""
    names = box.cameras()
    if not names:
        yield CheckResult(what="cameras", good=None, said="no configuration that names any")
        return
    report = _live(box)
    told = {camera.name: camera for camera in report.cameras} if report else {}
    for name in names:
        camera = told.get(name)
        if report is None:
            yield _tried(box, name)
        elif report.uptime_s < BEGINNING_S and (camera is None or not camera.open):
            yield CheckResult(
                what=f"camera {name}", good=None, said="not open yet: the agent has begun"
            )
        elif camera is None or not camera.open:
            why = camera.last_error if camera and camera.last_error else "not open"
            yield _bad(box, f"camera {name}", why, "CAM-01")
        elif camera.age_s is None or camera.age_s > FRAME_AGE_S:
            since = "none yet" if camera.age_s is None else f"none for {age(camera.age_s)}"
            yield _bad(box, f"camera {name}", f"open, and gives no pictures: {since}", "CAM-02")
        else:
            yield CheckResult(what=f"camera {name}", good=True, said=f"{camera.fps:.1f} pictures/s")


def _tried(box: Box, name: str) -> CheckResult:
    """The agent is dead, so the camera is free."""
    try:
        eye = box.open_eye(name)
    except ConsoleError as error:
        return _bad(box, f"camera {name}", str(error), "CAM-01")
    try:
        view = eye.look(10.0)
    except ConsoleError as error:
        return _bad(box, f"camera {name}", str(error), "CAM-02")
    finally:
        eye.close()
    if view is None:
        return _bad(box, f"camera {name}", "opens here, and gives no picture", "CAM-02")
    said = f"gives pictures ({view.width_px} x {view.height_px}), tried here"
    return CheckResult(what=f"camera {name}", good=True, said=said)


def recording(box: Box) -> Iterator[CheckResult]:
    """Whether footage grows."""
    report = _live(box)
    if report is None:
        yield CheckResult(
            what="recording", good=False, said="nothing is recorded while the agent does not run"
        )
        return
    codes = {fault.code: fault for fault in report.faults}
    for footage in report.footage:
        said = f"{bytes_told(footage.bytes)} since {footage.oldest_utc or 'now'}"
        said += ", sealed" if footage.sealed else ""
        bad = codes.get("STO-02") or codes.get("STO-03")
        if bad is not None:
            yield _bad(box, f"recording {footage.camera}", bad.detail or said, bad.code)
        else:
            yield CheckResult(what=f"recording {footage.camera}", good=True, said=said)
    if not report.footage:
        yield CheckResult(what="recording", good=None, said="no camera is recorded")


def chain(box: Box) -> Iterable[CheckResult]:
    """Whether receipts can be written."""
    return (box.chain(),)


def heads(box: Box) -> Iterator[CheckResult]:
    """Whether each pan-tilt head answers."""
    names = () if box.config is None else tuple(head.name for head in box.config.head)
    if not names:
        yield CheckResult(what="heads", good=None, said="none is configured")
        return
    report = _live(box)
    told = {head.name: head for head in report.heads} if report else {}
    for name in names:
        head = told.get(name)
        if head is None:
            yield CheckResult(
                what=f"head {name}", good=None, said="only the running agent can ask it; see serial"
            )
        elif head.open and head.pan_deg is not None:
            yield CheckResult(what=f"head {name}", good=True, said="answers")
        else:
            code = "PTZ-03" if head.open else "PTZ-01"
            yield _bad(box, f"head {name}", head.last_error or "does not answer", code)


def pins(box: Box) -> Iterator[CheckResult]:
    """Whether the contacts can be read, and what they say."""
    if box.config is None or not box.config.pin:
        yield CheckResult(what="pins", good=None, said="none is configured")
        return
    report = _live(box)
    if report is None or report.pins is None:
        yield CheckResult(what="pins", good=None, said="only the running agent has them open")
        return
    own = [fault for fault in report.faults if fault.code.startswith("GPI-")]
    for fault in own:
        yield _bad(box, f"pin {fault.subject}", fault.detail or fault.title, fault.code)
    if not own:
        yield CheckResult(what="pins", good=True, said="can be read, and tell of nothing bad")


def network(box: Box) -> Iterable[CheckResult]:
    """Interfaces, the modem, and the way out."""
    return (*box.links(), *box.modem())


def names(box: Box) -> Iterable[CheckResult]:
    """The broker's name."""
    return (box.names(),)


def certificates(box: Box) -> Iterable[CheckResult]:
    """The box's own files."""
    return box.certificates()


def broker(box: Box) -> Iterable[CheckResult]:
    """As far as it can be reached."""
    return box.reach_broker()


def centre(box: Box) -> Iterator[CheckResult]:
    """Whether somebody takes in what the box reports. That no centre listens is bad where the box has
    to wait for one, which the agent knows, and not where the broker's word frees its messages.
    """
    report = _live(box)
    if report is None:
        yield CheckResult(what="centre", good=None, said="only the running agent hears it")
        return
    outbox = report.outbox
    wait = f"{outbox.depth} messages wait"
    silent = next((fault for fault in report.faults if fault.code == "NET-03"), None)
    if not outbox.connected:
        yield _bad(box, "centre", "the agent has no connection to the broker", "NET-01")
    elif silent is not None:
        yield _bad(box, "centre", f"{silent.detail or silent.title}; {wait}", "NET-03")
    elif outbox.centre_listens:
        yield CheckResult(what="centre", good=True, said=f"listens; {wait}")
    else:
        said = f"none listens; where there is none to wait for, the broker's word counts; {wait}"
        yield CheckResult(what="centre", good=None, said=said)


CHECKS = tuple(
    Check(number=number, name=name, look=look)
    for number, (name, look) in enumerate(
        (
            ("power, heat, memory", power_and_heat),
            ("disk", disk),
            ("clock", clock),
            ("configuration", configuration),
            ("agent", agent),
            ("cameras", cameras),
            ("recording", recording),
            ("receipts", chain),
            ("pan-tilt heads", heads),
            ("pins", pins),
            ("network", network),
            ("names (DNS)", names),
            ("certificates", certificates),
            ("broker", broker),
            ("centre", centre),
        ),
        1,
    )
)


def _live(box: Box) -> HealthReport | None:
    """What the agent says now; None where it is not running."""
    life = box.life()
    return life.report if life.state == "runs" else None


def _bad(box: Box, what: str, said: str, code: str) -> CheckResult:
    text = box.fault_text(code)
    return CheckResult(
        what=what, good=False, said=said, code=code, advice=text.advice if text else None
    )
