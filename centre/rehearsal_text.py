"""The report of a rehearsal as lines for a person, and its comparison with a limit. Pure."""

from collections.abc import Iterator

from agent.reporting.rehearsal import (
    RehearsedCamera,
    RehearsedCost,
    RehearsedDifference,
    RehearsedLine,
    ReportedRehearsal,
)
from centre.fleet.wire_text import clean_text

_PRESENT, _PROPOSED = "the configuration in force", "the proposed configuration"


def different_share(camera: RehearsedCamera) -> float | None:
    """Return the share of the crossings and events that differ, None if neither configuration has found one."""
    total = camera.same + camera.different
    return camera.different / total if total else None


def iter_beyond(rehearsal: ReportedRehearsal, limit: float) -> Iterator[str]:
    """Yield a line for each reason why a version is not put in force.

    A camera without footage, or on whose footage nothing was found, shows nothing of a version.
    """
    if rehearsal.state != "done":
        yield f"the rehearsal has failed: {clean_text(rehearsal.reason or '')}"
    for camera in rehearsal.cameras:
        name, share = clean_text(camera.camera), different_share(camera)
        if camera.reason is not None:
            yield f"{name}: not rehearsed: {clean_text(camera.reason)}"
        elif share is None:
            yield f"{name}: nothing was found by either configuration, so nothing is known of the difference"
        elif share > limit:
            yield f"{name}: {share:.1%} differ; allowed: {limit:.1%} or less"


def iter_lines(rehearsal: ReportedRehearsal) -> Iterator[str]:
    """Yield the lines of a report that has ended."""
    if rehearsal.reason is not None:
        yield f"failed: {clean_text(rehearsal.reason)}"
    for camera in rehearsal.cameras:
        yield from _iter_camera(camera)


def _iter_camera(camera: RehearsedCamera) -> Iterator[str]:
    name = clean_text(camera.camera)
    if camera.reason is not None or camera.present is None or camera.proposed is None:
        yield f"{name}: not rehearsed: {clean_text(camera.reason or 'no result')}"
        return
    share = different_share(camera)
    words = "" if share is None else f" ({share:.1%})"
    yield (
        f"{name}: {camera.covered_s / 60:.1f} min of footage: {camera.same} the same, "
        f"{camera.different} different{words}"
    )
    yield f"  in force: {_cost(camera.present, camera.covered_s)}"
    yield f"  proposed: {_cost(camera.proposed, camera.covered_s)}"
    for line in camera.lines:
        yield from _iter_counts(line)
    for kind, numbers in camera.events.items():
        yield f"  {clean_text(kind)}: {numbers.present} -> {numbers.proposed}"
    for difference in camera.differences:
        yield f"  {_describe(difference)}"
    for segment, reason in camera.left_out.items():
        yield f"  left out: {clean_text(segment)}: {clean_text(reason)}"


def _cost(cost: RehearsedCost, covered_s: float) -> str:
    return (
        f"{clean_text(cost.model)}, {cost.pictures} pictures, {cost.cpu_s:.1f} s of CPU, "
        f"{cost.cpu_s / max(covered_s, 1e-3):.2f} of a core"
    )


def _iter_counts(line: RehearsedLine) -> Iterator[str]:
    """Yield a line for each direction and label of a line of the scene."""
    name = clean_text(line.name)
    if line.present is None or line.proposed is None:
        owner = _PROPOSED if line.present is None else _PRESENT
        yield f"  {name}: a line of {owner} alone"
    sides = (line.present or {}, line.proposed or {})
    for direction in {**sides[0], **sides[1]}:
        before, after = (side.get(direction, {}) for side in sides)
        for label in {**before, **after}:
            yield (
                f"  {name}, {clean_text(direction)}, {label}: "
                f"{before.get(label, 0)} -> {after.get(label, 0)}"
            )


def _describe(difference: RehearsedDifference) -> str:
    words = [clean_text(difference.time), clean_text(difference.kind)]
    words += [clean_text(text) for text in (difference.name, difference.direction) if text]
    if difference.found_by == "both":
        words.append(f"{difference.label} -> {difference.proposed_label}")
    else:
        owner = _PRESENT if difference.found_by == "present" else _PROPOSED
        words.append(f"{difference.label or difference.proposed_label or ''} by {owner} alone")
    return " ".join(words)
