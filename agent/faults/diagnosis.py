"""Diagnosis of a health report: what is wrong with each part of the box, in words and with its code. Pure.

The agent's faults decide, and this is the one place that turns them into findings: `check`, `status`, `vigie
watch`, the self-test and the commissioning ask here, so that none of them blames a camera that the box has
shed.
"""

from collections.abc import Mapping, Sequence
from functools import reduce

import msgspec

from agent.base.health_model import (
    AreaDensity,
    CameraHealth,
    Fault,
    HealthReport,
    StageHealth,
    UnsupportedArea,
)
from agent.base.message import Message, Text, join_phrases, join_sentences
from agent.base.model import Label
from agent.base.view_condition import ViewCondition, ViewLimit, ViewState
from agent.faults.registry import FaultCode

CAMERA_FAULTS: tuple[FaultCode, ...] = (
    "MSK-01",
    "CAM-03",
    "CAM-05",
    "CAM-01",
    "CAM-02",
    "CAM-04",
    "CAM-07",
    "CAM-06",
    "CAM-08",
    "CAM-09",
    "DET-01",
    "DET-02",
    "CAM-10",
)
FAULT_OF_VIEW: Mapping[ViewState, FaultCode] = {
    "dark": "CAM-07",
    "frozen": "CAM-07",
    "blocked": "CAM-07",
    "blurred": "CAM-07",
    "moved": "CAM-07",
    "glare": "CAM-08",
    "low_light": "CAM-08",
}
VIEW_WORDS: Mapping[ViewState, Message] = {
    "good": Message("the view is good"),
    "dark": Message("the picture is dark: the lens is covered, or there is no light at all"),
    "frozen": Message("the same picture comes again and again"),
    "blocked": Message("the view is covered"),
    "blurred": Message("the picture is blurred"),
    "moved": Message("the view is not the one from before: the camera was moved"),
    "glare": Message("glare: a quarter of the picture is white"),
    "low_light": Message("too little light to see road users by"),
}
LIMIT_WORDS: Mapping[ViewLimit, Message] = {
    "dark": VIEW_WORDS["low_light"],
    "low_contrast": Message("low contrast, as in fog"),
    "rain": Message("rain or snow hides road users"),
    "shaken": Message("the picture shakes"),
    "frame_rate": Message("too few pictures a second"),
    "lens": Message("the lens bends straight lines too much"),
    "small": Message("road users are too small in the picture"),
}
"""The limits that a view in the state `good` can have; the others come with a state of their own, or `flat` with an event."""
FAULT_OF_LIMIT: Mapping[ViewLimit, FaultCode] = {
    "dark": "CAM-08",
    "shaken": "CAM-09",
    "frame_rate": "CAM-09",
    "lens": "CAM-09",
    "small": "CAM-09",
}
"""The fault of a limit for which a person must act. Rain, snow and fog pass by themselves."""
VIEW_FAULTS: frozenset[FaultCode] = frozenset((*FAULT_OF_VIEW.values(), *FAULT_OF_LIMIT.values()))
"""At most one of them is active for a camera."""
RECORDING_FAULTS: tuple[FaultCode, ...] = ("STO-02", "STO-03")
LEVEL_WORDS = {
    "reduced_detection": Message("reduced detection"),
    "no_detection": Message("no detection"),
    "record_only": Message("record only"),
    "heartbeat": Message("heartbeat"),
}
BOX_SUBJECT = "box"
"""Subject of a recording fault that is about all cameras."""
HEAD_FAULTS: tuple[FaultCode, ...] = (
    "PTZ-01",
    "PTZ-02",
    "PTZ-03",
    "PTZ-04",
    "PTZ-06",
    "PTZ-05",
)
BROKER_FAULTS: tuple[FaultCode, ...] = ("NET-01", "NET-02", "NET-04")


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """The state of one part. `is_good`: None if it is neither good nor a fault, such as at the start.

    `code` and `fault_subject` name the active fault of a bad one.
    """

    words: Text
    is_good: bool | None
    code: str | None = None
    fault_subject: str | None = None


def find_camera(report: HealthReport, name: str) -> Finding:
    """Return the state of a camera: its rates, or why it delivers nothing."""
    camera = next((camera for camera in report.cameras if camera.name == name), None)
    fault = _find_fault(report.faults, CAMERA_FAULTS, name)
    if fault is not None:
        rates = (
            camera_rates(report, camera)
            if camera is not None and camera.state in ("delivering", "slow")
            else None
        )
        words: Text = fault.translatable_detail or fault.title
        code, view_words = find_view(None if camera is None else camera.view)
        if code == fault.code and view_words is not None:
            words = view_words
        return _bad(fault, join_phrases(rates, words))
    if camera is None:
        return Finding(words=Message("not open yet"), is_good=None)
    if camera.state == "shed":
        shed = Message("closed to shed load: {reason}", reason=shed_reason(report))
        return Finding(words=shed, is_good=False, code="SYS-07", fault_subject="board")
    if camera.state != "delivering":
        return Finding(words=_waiting_words(camera), is_good=None)
    _, limited = find_view(camera.view)
    words = camera_rates(report, camera)
    return Finding(words=join_phrases(words, limited), is_good=None if limited else True)


def find_view(view: ViewCondition | None) -> tuple[FaultCode | None, Message | None]:
    """Return the fault of a view, and why road users are missed in it, or None if they are not.

    Of several limits a fault comes before those that pass by themselves.
    """
    if view is None:
        return None, None
    if view.state != "good":
        return FAULT_OF_VIEW[view.state], VIEW_WORDS[view.state]
    # A report may come from any box: limits that a good view cannot have are left out.
    limits = [one for one in view.limits if one in LIMIT_WORDS]
    if not limits:
        return None, None
    limit = next((one for one in limits if one in FAULT_OF_LIMIT), limits[0])
    words = Message("counts are not to be trusted: {reason}", reason=LIMIT_WORDS[limit])
    return FAULT_OF_LIMIT.get(limit), words


def camera_rates(report: HealthReport, camera: CameraHealth) -> Text:
    """Return the stream rate and the detection rate, and why nothing is detected."""
    if camera.detect_fps is None:
        detected = None
    elif is_detection_reduced(report):
        detected = Message(
            "{fps:.1f} frames/s detected with fewer passes: {reason}",
            fps=camera.detect_fps,
            reason=shed_reason(report),
        )
    elif is_shedding(report):
        detected = Message("detection is shed: {reason}", reason=shed_reason(report))
    elif camera.decoding == "keyframes":
        detected = Message("nothing moves: {fps:.1f} frames/s detected", fps=camera.detect_fps)
    else:
        detected = Message("{fps:.1f} frames/s detected", fps=camera.detect_fps)
    return join_phrases(Message("{fps:.1f} frames/s captured", fps=camera.stream_fps), detected)


def find_recording(report: HealthReport, camera: str) -> Finding | None:
    """Return why a camera is not recorded well, or None if it is."""
    fault = _find_fault(report.faults, RECORDING_FAULTS, camera, BOX_SUBJECT)
    if fault is not None:
        return _bad(fault)
    if report.degradation is not None and report.degradation.level == "heartbeat":
        shed = Message("suspended to shed load: {reason}", reason=shed_reason(report))
        return Finding(words=shed, is_good=False, code="SYS-07", fault_subject="board")
    return None


def find_head(report: HealthReport, name: str) -> Finding:
    """Return the state of a pan-tilt head."""
    fault = _find_fault(report.faults, HEAD_FAULTS, name)
    if fault is not None:
        return _bad(fault)
    head = next((head for head in report.heads if head.name == name), None)
    if head is None or head.pan_deg is None:
        return Finding(words=Message("has not answered yet"), is_good=None)
    return Finding(words=Message("answers"), is_good=True)


def find_broker(report: HealthReport) -> Finding:
    """Return the state of the connection to the broker."""
    fault = _find_fault(report.faults, BROKER_FAULTS, "broker")
    if fault is not None:
        return _bad(fault)
    if not report.outbox.connected:
        return Finding(words=Message("not connected yet"), is_good=None)
    return Finding(words=Message("connected"), is_good=True)


def find_centre(report: HealthReport) -> Finding:
    """Return the state of the centre.

    An absent one is bad only if the box has to wait for it, which is NET-03: without a centre the
    broker's acknowledgement is enough.
    """
    broker = find_broker(report)
    if not broker.is_good:
        return broker
    fault = _find_fault(report.faults, ("NET-03",), "centre")
    if fault is not None:
        return _bad(fault)
    if report.outbox.centre_listening:
        return Finding(words=Message("listens"), is_good=True)
    return Finding(words=Message("none listens, and the box does not wait for one"), is_good=None)


def describe_density(area: AreaDensity) -> Message:
    """Return a line that names a line or zone, its pixels per metre, and those that its labels need."""
    by_need: dict[int, list[Label]] = {}
    for label, px_per_m in area.needed_px_per_m.items():
        by_need.setdefault(px_per_m, []).append(label)
    needs = [
        Message("{px_per_m} for {labels}", px_per_m=px_per_m, labels=", ".join(labels))
        for px_per_m, labels in sorted(by_need.items())
    ]
    return Message(
        "{area}: {px_per_m:.1f} pixels per metre; needed: {needed}",
        area=f"{area.kind} {area.name!r}",
        px_per_m=area.px_per_m,
        needed=reduce(join_sentences, needs),
    )


def describe_unsupported(area: UnsupportedArea) -> Message:
    """Return a line that names a line or zone that the view does not support, and why."""
    name = f"{area.kind} {area.name!r}"
    if area.small:
        return Message(
            "{area}: {px_per_m:.1f} pixels per metre in its middle, too few for {labels}",
            area=name,
            px_per_m=area.px_per_m,
            labels=", ".join(area.small),
        )
    if area.small_ratio or area.angle_deg is None:
        return Message(
            "{area}: too few pixels per metre in {ratio:.0%} of it, for {labels}",
            area=name,
            ratio=max(area.small_ratio.values(), default=0.0),
            labels=", ".join(area.small_ratio),
        )
    return Message(
        "{area}: seen at {angle:.1f} degrees to the ground, which is too flat",
        area=name,
        angle=area.angle_deg,
    )


def unexplained_stages(report: HealthReport) -> tuple[StageHealth, ...]:
    """Return the stages that fail for a reason of their own, and not because of their device or disk.

    The stage `capture yard` fails as long as the camera `yard` cannot be opened.
    """
    return tuple(
        stage
        for stage in report.stages
        if stage.state == "failing" and not _is_explained(report, stage.name)
    )


def _is_explained(report: HealthReport, stage: str) -> bool:
    match stage.split():
        case ["capture" | "events", camera, *_]:
            return not find_camera(report, camera).is_good
        case ["record", camera]:
            return find_recording(report, camera) is not None
        case ["head" | "stop", head]:
            return not find_head(report, head).is_good
        case ["pins"]:
            return _find_fault(report.faults, ("GPI-01",), stage) is not None
    return False


def is_shedding(report: HealthReport) -> bool:
    """Return True if the box does less than it is configured for."""
    return report.degradation is not None and report.degradation.level != "full"


def is_detection_reduced(report: HealthReport) -> bool:
    """Return True if the box detects, with fewer passes than it is configured for."""
    return report.degradation is not None and report.degradation.level == "reduced_detection"


def shed_reason(report: HealthReport) -> Text:
    """Return the level, its reason and the code of the fault behind it; empty at the level `full`."""
    degradation = report.degradation
    if degradation is None or degradation.level == "full":
        return ""
    return Message(
        "{level}, {reason} ({code})",
        level=LEVEL_WORDS[degradation.level],
        reason=degradation.reason,
        code=str(degradation.cause),
    )


def _waiting_words(camera: CameraHealth) -> Message:
    if not camera.open:
        return Message("not open yet")
    if camera.age_s is None:
        return Message("open, no frame yet")
    return Message("open, no frame for {seconds:.0f} s", seconds=camera.age_s)


def _find_fault(
    faults: Sequence[Fault], codes: Sequence[FaultCode], *subjects: str
) -> Fault | None:
    """Return the worst of these faults; a report has the worst first."""
    return next((f for f in faults if f.code in codes and f.subject in subjects), None)


def _bad(fault: Fault, words: Text = "") -> Finding:
    return Finding(
        words=words or fault.translatable_detail or fault.title,
        is_good=False,
        code=fault.code,
        fault_subject=fault.subject,
    )
