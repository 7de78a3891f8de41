"""agent.rehearsal.comparison and centre.rehearsal_text: what two configurations have found on the same pictures."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.base.model import LABELS, Label
from agent.detection.scene import Scene, SceneLine, Zone
from agent.rehearsal.comparison import CROSSING, Comparison, Finding, Findings, compare
from agent.reporting.rehearsal import (
    MAX_DIFFERENCES,
    EventNumbers,
    RehearsedCamera,
    RehearsedCost,
    ReportedRehearsal,
)
from centre.rehearsal_text import iter_beyond, iter_lines
from drivers.media import NS_PER_S, Point

BEGIN_NS = 1_793_692_800 * NS_PER_S
"""2026-11-03T08:00:00Z."""


def scene(*lines: str) -> Scene:
    """A scene with lines of these names and one zone."""
    corners = (Point(0, 0), Point(1, 0), Point(1, 1))
    drawn = tuple(SceneLine(name=name, start=Point(0, 0.5), to=Point(1, 0.5)) for name in lines)
    return Scene(line=drawn, zone=(Zone(name="crossing", polygon=corners),))


def crossing(
    at_s: float, label: Label = "car", line: str = "street", direction: str = "forward"
) -> Finding:
    t_ns = BEGIN_NS + int(at_s * NS_PER_S)
    return Finding(t_ns=t_ns, kind=CROSSING, name=line, direction=direction, label=label)


def event(at_s: float, kind: str = "dwell", name: str = "crossing") -> Finding:
    t_ns = BEGIN_NS + int(at_s * NS_PER_S)
    return Finding(t_ns=t_ns, kind=kind, name=name, direction=None, label="person")


def findings(found: Sequence[Finding], *lines: str) -> Findings:
    made = Findings(scene(*(lines or ("street",))))
    made.found.extend(found)
    return made


def compared(before: Sequence[Finding], after: Sequence[Finding]) -> Comparison:
    return compare(findings(before), findings(after))


@pytest.mark.parametrize(
    ("before", "after", "same", "different"),
    [
        ([], [], 0, []),
        ([crossing(1)], [crossing(1.4)], 1, []),
        (
            [crossing(1)],
            [crossing(4)],
            0,
            [("present", "car", None), ("proposed", None, "car")],
        ),
        ([crossing(1)], [crossing(1, "truck")], 0, [("both", "car", "truck")]),
        (
            [crossing(1)],
            [crossing(1, direction="backward")],
            0,
            [("present", "car", None), ("proposed", None, "car")],
        ),
        # Of two near ones the one with the same label is the same vehicle, and the other one is alone.
        (
            [crossing(1), crossing(2, "bus")],
            [crossing(1.5, "bus")],
            1,
            [("present", "car", None)],
        ),
        # Two vehicles behind each other, a little later each.
        ([crossing(1), crossing(2)], [crossing(1.8), crossing(2.8)], 2, []),
        ([event(1)], [event(9)], 1, []),
        ([event(1)], [event(12)], 0, [("present", "person", None), ("proposed", None, "person")]),
        (
            [event(1)],
            [event(1, kind="crowd")],
            0,
            [("present", "person", None), ("proposed", None, "person")],
        ),
        # An event of a crossing is the crossing.
        ([crossing(1), event(1, "line_crossed", "street")], [crossing(1)], 1, []),
    ],
)
def test_crossings_and_events_of_both_are_the_same_and_all_others_differences(
    before: list[Finding],
    after: list[Finding],
    same: int,
    different: list[tuple[str, str | None, str | None]],
) -> None:
    result = compared(before, after)
    assert result.same == same
    assert [
        (one.found_by, one.label, one.proposed_label) for one in result.differences
    ] == different
    assert result.different == len(different)


def test_a_difference_has_the_time_of_its_picture_its_line_and_its_direction() -> None:
    (one,) = compared([crossing(61.25)], []).differences
    assert (one.time, one.kind, one.name, one.direction) == (
        "2026-11-03T08:01:01.250Z",
        "crossing",
        "street",
        "forward",
    )


def test_counts_of_lines_and_events_are_those_of_each_configuration() -> None:
    before = findings([crossing(1), crossing(9), event(3), event(30)], "street", "bridge")
    after = findings([crossing(1, line="exit"), event(3)], "street", "exit")
    result = compare(before, after)
    assert {line.name: (line.present, line.proposed) for line in result.lines} == {
        "street": ({"forward": {"car": 2}, "backward": {}}, {"forward": {}, "backward": {}}),
        "bridge": ({"forward": {}, "backward": {}}, None),
        "exit": (None, {"forward": {"car": 1}, "backward": {}}),
    }
    assert result.events == {"dwell": EventNumbers(present=2, proposed=1)}
    # The crossing of the line that the proposed scene has alone is no difference.
    assert (result.same, result.different) == (1, 3)


FOUND = st.lists(
    st.builds(
        crossing,
        st.integers(0, 60),
        st.sampled_from(LABELS),
        direction=st.sampled_from(("forward", "backward")),
    ),
    max_size=30,
)


@given(FOUND, FOUND)
def test_each_finding_is_counted_once(before: list[Finding], after: list[Finding]) -> None:
    result = compared(before, after)
    of_both = sum(one.found_by == "both" for one in result.differences)
    if result.different <= MAX_DIFFERENCES:
        assert 2 * result.same + result.different + of_both == len(before) + len(after)
    assert len(result.differences) == min(result.different, MAX_DIFFERENCES)
    times = [one.time for one in result.differences]
    assert times == sorted(times)


@given(FOUND)
def test_a_configuration_does_not_differ_from_itself(found: list[Finding]) -> None:
    result = compared(found, found)
    assert (result.same, result.different) == (len(found), 0)


def camera(**fields: object) -> RehearsedCamera:
    cost = RehearsedCost(model="nanodet_320", pictures=600, cpu_s=12.0)
    given = {"present": cost, "proposed": cost, "covered_s": 60.0, "same": 95, "different": 5}
    return RehearsedCamera(camera="north", **(given | fields))  # type: ignore[arg-type]


def rehearsal(*cameras: RehearsedCamera, **fields: object) -> ReportedRehearsal:
    given = {
        "version": 9,
        "digest": "0" * 64,
        "by": "amina",
        "begin": "2026-11-03T08:00:00.000Z",
        "end": "2026-11-03T09:00:00.000Z",
        "state": "done",
        "progress": 1.0,
        "cameras": cameras,
    }
    return ReportedRehearsal(**(given | fields))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("report", "reasons"),
    [
        (rehearsal(camera()), []),
        (rehearsal(camera(same=94, different=6)), ["north: 6.0% differ; allowed: 5.0% or less"]),
        (
            rehearsal(camera(same=0, different=0)),
            [
                "north: nothing was found by either configuration, so nothing is known of the difference"
            ],
        ),
        (
            rehearsal(RehearsedCamera(camera="north", reason="no footage\x1b[2J")),
            ["north: not rehearsed: no footage\\x1b[2J"],
        ),
        (
            rehearsal(state="failed", reason="another version was decided"),
            ["the rehearsal has failed: another version was decided"],
        ),
    ],
)
def test_a_version_stays_out_of_force_beyond_the_limit_or_if_nothing_is_known(
    report: ReportedRehearsal, reasons: list[str]
) -> None:
    assert list(iter_beyond(report, 0.05)) == reasons


def test_a_report_is_printed_with_costs_counts_and_differences() -> None:
    result = compare(
        findings([crossing(1), crossing(61, "bus"), event(5)]), findings([crossing(1, "truck")])
    )
    shown = camera(
        same=result.same,
        different=result.different,
        lines=result.lines,
        events=dict(result.events),
        differences=result.differences,
        left_out={"0000000042.mp4": "it is sealed"},
    )
    assert list(iter_lines(rehearsal(shown))) == [
        "north: 1.0 min of footage: 0 the same, 3 different (100.0%)",
        "  in force: nanodet_320, 600 pictures, 12.0 s of CPU, 0.20 of a core",
        "  proposed: nanodet_320, 600 pictures, 12.0 s of CPU, 0.20 of a core",
        "  street, forward, bus: 1 -> 0",
        "  street, forward, car: 1 -> 0",
        "  street, forward, truck: 0 -> 1",
        "  dwell: 1 -> 0",
        "  2026-11-03T08:00:01.000Z crossing street forward car -> truck",
        "  2026-11-03T08:00:05.000Z dwell crossing person by the configuration in force alone",
        "  2026-11-03T08:01:01.000Z crossing street forward bus by the configuration in force alone",
        "  left out: 0000000042.mp4: it is sealed",
    ]
