"""Items of a commissioning: the findings on a record that a technician confirms or rejects. Pure."""

import re
from collections.abc import Iterator, Mapping
from functools import reduce
from types import MappingProxyType

import msgspec

from agent.base.health_model import GroundHealth
from agent.base.message import Message, Text, join_sentences
from agent.base.picture_sharpness import MIN_SHARPNESS
from agent.capture import focus_search
from agent.capture.lens_aim import FocusBlocks
from agent.diagnostics.commissioning.certificate import (
    CameraRecord,
    InstallationRecord,
    ItemAnswer,
    ItemKind,
)
from agent.faults import diagnosis
from drivers.media import Plane

_NO_MASKS = Message("no masks")
_FOCUS_PERCENT_PATTERN = re.compile(r"(\d{1,4}) % of the best seen")


class Inspection(msgspec.Struct, frozen=True):
    """A measured box: its record, the picture of each camera, and the focus of each by blocks."""

    record: InstallationRecord
    planes: dict[str, Plane]
    focus_blocks: dict[str, FocusBlocks]

    def items(
        self, best_focus: Mapping[str, FocusBlocks] = MappingProxyType({})
    ) -> tuple[tuple[ItemAnswer, Message], ...]:
        """Return item by item for the technician's verdict, each with its finding.

        `best_focus` has the best focus of each camera whose lens was turned past it.
        """
        percents = {
            name: focus_search.percent_of(blocks, best_focus.get(name, ()))
            for name, blocks in self.focus_blocks.items()
        }
        known = {name: percent for name, percent in percents.items() if percent is not None}
        return tuple(iter_items(self.record, known))


def iter_items(
    record: InstallationRecord, focus_percents: Mapping[str, int]
) -> Iterator[tuple[ItemAnswer, Message]]:
    """Yield item by item for the technician's verdict, each with its finding.

    `focus_percents` are shares of the best focus seen, of the cameras whose lens was turned past it.
    """
    for camera in record.cameras:
        if camera.picture is None:
            finding = Message("no picture: {reason}", reason=camera.reason or "")
            yield _make_item("aim", camera.name, finding, good=False)
            continue
        if camera.view in ("dark", "blocked"):
            yield _make_item("aim", camera.name, diagnosis.VIEW_WORDS[camera.view], good=False)
        else:
            yield _make_item("aim", camera.name, _describe_aim(camera), good=None)
        yield _focus_item(camera, focus_percents.get(camera.name))
        masks = Message("{count} masks", count=camera.masks) if camera.masks else _NO_MASKS
        yield _make_item("masks", camera.name, masks, good=None)
        if camera.ground is not None:
            yield _ground_item(camera.name, camera.ground)
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


def iter_answers(record: InstallationRecord) -> Iterator[tuple[ItemAnswer, Text]]:
    """Yield the answers of a record, each with its finding as a message, which can be translated.

    A finding in the words of another version stays the text that it is.
    """
    percents = {
        answer.subject: int(match[1])
        for answer in record.answers
        if answer.subject is not None
        and answer.item == "focus"
        and (match := _FOCUS_PERCENT_PATTERN.match(answer.finding))
    }
    findings = {(item.item, item.subject): text for item, text in iter_items(record, percents)}
    for answer in record.answers:
        finding = findings.get((answer.item, answer.subject))
        yield answer, finding if str(finding) == answer.finding and finding else answer.finding


def _focus_item(camera: CameraRecord, percent: int | None) -> tuple[ItemAnswer, Message]:
    """Reject a blurred picture, and judge the focus by its share of the best one seen, or leave it to the technician if that
    is None.
    """
    if camera.sharpness is not None and camera.sharpness < MIN_SHARPNESS:
        blurred = Message(
            "blurred: sharpness {sharpness:.2f}; allowed: {threshold:.2f} or more",
            sharpness=camera.sharpness,
            threshold=MIN_SHARPNESS,
        )
        return _make_item("focus", camera.name, blurred, good=False)
    if camera.focus is None:
        return _make_item("focus", camera.name, Message("no detail to focus on"), good=None)
    if percent is None:
        score = Message("{focus:.0f} of about 70", focus=camera.focus)
        return _make_item("focus", camera.name, score, good=None)
    finding = Message(
        "{percent} % of the best seen; allowed: {threshold} % or more",
        percent=percent,
        threshold=focus_search.PASS_PERCENT,
    )
    return _make_item("focus", camera.name, finding, good=percent >= focus_search.PASS_PERCENT)


def _ground_item(camera: str, ground: GroundHealth) -> tuple[ItemAnswer, Message]:
    """Reject a calibration whose view has moved; whether the marks are where they belong is for the technician."""
    if ground.moved is not None:
        return _make_item(
            "ground", camera, Message("stale: {reason}", reason=ground.moved), good=False
        )
    error = (
        Message("the error is not known: too few marks to leave one out")
        if ground.error_m is None
        else Message("error {error_m:.2f} m, at marks left out in turn", error_m=ground.error_m)
    )
    densities = [diagnosis.describe_density(area) for area in ground.low_density]
    return _make_item("ground", camera, reduce(join_sentences, densities, error), good=None)


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
