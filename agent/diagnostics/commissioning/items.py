"""Items of a commissioning: the findings on a record that a technician confirms or rejects. Pure."""

from collections.abc import Iterator, Mapping

from agent.base.message import Message
from agent.capture import focus_search
from agent.diagnostics.commissioning.certificate import (
    CameraRecord,
    InstallationRecord,
    ItemAnswer,
    ItemKind,
)

_NO_MASKS = Message("no masks")


def iter_items(
    record: InstallationRecord, best_focus: Mapping[str, float]
) -> Iterator[tuple[ItemAnswer, Message]]:
    """Yield item by item for the technician's verdict, each with its finding."""
    for camera in record.cameras:
        if camera.picture is None:
            finding = Message("no picture: {reason}", reason=camera.reason or "")
            yield _make_item("aim", camera.name, finding, good=False)
            continue
        yield _make_item("aim", camera.name, _describe_aim(camera), good=None)
        yield _focus_item(camera, best_focus.get(camera.name))
        masks = Message("{count} masks", count=camera.masks) if camera.masks else _NO_MASKS
        yield _make_item("masks", camera.name, masks, good=None)
    for head in record.heads:
        if head.presets is None:
            yield _make_item("head", head.name, Message("no answer"), good=False)
        else:
            names = ", ".join(head.presets)
            found = Message("presets: {names}", names=names) if names else Message("no presets")
            yield _make_item("head", head.name, found, good=None)
    if not record.connected:
        link = Message("not connected")
    elif record.centre_listening:
        link = Message("connected, a centre is subscribed")
    else:
        link = Message("connected, no centre is subscribed")
    yield _make_item("link", None, link, good=record.connected)
    clock = (
        Message("set by {source}", source=record.clock_source)
        if record.clock_synced
        else Message("not synchronised")
    )
    yield _make_item("clock", None, clock, good=record.clock_synced)


def _focus_item(
    camera: CameraRecord, best_focus: float | None
) -> tuple[ItemAnswer, Message]:
    """Judge the focus by the best one that was seen, or leave it to the technician if there is none."""
    if camera.focus is None:
        return _make_item("focus", camera.name, Message("no detail to focus on"), good=None)
    if best_focus is None:
        score = Message("{focus:.0f} of about 70", focus=camera.focus)
        return _make_item("focus", camera.name, score, good=None)
    finding = Message(
        "{percent} % of the best seen; allowed: {threshold} % or more",
        percent=focus_search.percent_of_best(camera.focus, best_focus),
        threshold=focus_search.PASS_PERCENT,
    )
    good = focus_search.is_in_focus(camera.focus, best_focus)
    return _make_item("focus", camera.name, finding, good=good)


def _make_item(
    kind: ItemKind, subject: str | None, finding: Message, *, good: bool | None
) -> tuple[ItemAnswer, Message]:
    return ItemAnswer(item=kind, subject=subject, finding=str(finding), good=good), finding


def _describe_aim(camera: CameraRecord) -> Message:
    exposure = Message("good") if camera.exposure == "good" else camera.exposure
    if camera.lean_deg is None:
        return Message("exposure {exposure}", exposure=exposure)
    return Message(
        "exposure {exposure}, leans {lean_deg:+.1f} degrees",
        exposure=exposure,
        lean_deg=camera.lean_deg,
    )
