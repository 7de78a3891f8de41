"""agent/scene_editor/replay_data.js: events and tracks of a replay, bounded and checked."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.scene_editor.node_runner import NodeScript
from tests.scene_editor.node_views import run_views
from tests.scene_editor.replay_files import CROSSING_S, ReplayFiles

GOOD_EVENT: dict[str, Any] = {
    "event": "019b76da-a800-7000-8000-000000000001",
    "rev": 1,
    "kind": "line",
    "phase": "moment",
    "camera": "replay",
    "t_ns": 3_000_000_000,
    "begin_ns": 3_000_000_000,
    "name": "gate",
    "direction": "to the right",
    "label": "car",
    "track": 1,
    "t_s": 3.0,
}
GOOD_TRACK: dict[str, Any] = {
    "t_s": 1.0,
    "frame": 10,
    "track": 1,
    "label": "car",
    "score": 0.8,
    "box": [0.1, 0.1, 0.2, 0.2],
}


def event_line(**changed: Any) -> str:
    return json.dumps({"type": "event", "data": {**GOOD_EVENT, **changed}})


def read(kind: str, text: str, **limits: int) -> dict[str, Any]:
    (answer,) = run_views({"do": "lines", "kind": kind, "text": text, "limits": limits})
    assert isinstance(answer, dict)
    return answer


def test_each_event_is_one_entry_whatever_its_revisions(replay_files: ReplayFiles) -> None:
    events = read("events", replay_files.events.read_text())["read"]["events"]
    messages = [json.loads(line) for line in replay_files.events.read_text().splitlines()]
    ids = {message["data"]["event"] for message in messages if message["type"] == "event"}
    assert {event["id"] for event in events} == ids
    assert len(events) == len(ids)
    shown = [event["shown_s"] for event in events]
    assert shown == sorted(shown)
    (crossing, *_) = [event for event in events if event["kind"] == "line"]
    assert crossing["shown_s"] == pytest.approx(CROSSING_S, abs=0.1)
    zones = [event for event in events if event["kind"] == "zone"]
    assert all(event["begin_s"] <= event["shown_s"] <= event["end_s"] for event in zones)


def test_counts_grow_with_the_time_up_to_those_of_the_traffic_counts(
    replay_files: ReplayFiles,
) -> None:
    before, after = run_views(
        {"do": "counts", "text": replay_files.events.read_text(), "t_s": [0.0, 60.0]}
    )[0]
    by_line = {(row["name"], row["direction"]): row for row in after}
    assert by_line["gate", "to the right"] == {
        "name": "gate",
        "direction": "to the right",
        "so_far": 1,
        "total": 1,
        "labels": [["car", 1]],
        "speeds": ["0-10 1"],
    }
    assert by_line["gate", "to the left"]["so_far"] == 1
    assert by_line["quiet", "forward"]["so_far"] == 1, "without events: by the minute"
    assert by_line["on", "gate → quiet"]["total"] == 1
    assert all(row["so_far"] == 0 for row in before)


def minute_line(bands: dict[str, Any]) -> str:
    """A minute of one line with these speeds forward."""
    line = {
        "name": "street",
        "counts": {"forward": {"car": 9}},
        "speeds": {"forward": {"bands": bands}},
    }
    data = {"end_ns": 60 * 10**9, "lines": [line], "flows": []}
    return json.dumps({"type": "flow", "data": data})


def test_speeds_are_those_of_all_labels_and_minutes_by_band() -> None:
    text = "\n".join(
        [
            minute_line({"car": {"200": 1, "30": 2}, "bus": {"30": 1}}),
            minute_line({"car": {"30": 4}}),
        ]
    )
    ((row,),) = run_views({"do": "counts", "text": text, "t_s": [0.0]})[0]
    assert row["speeds"] == ["30-40 7", "200+ 1"]
    assert row["labels"] == [["car", 18]]


@pytest.mark.parametrize(
    "bands",
    [
        {"car": {"35": 1}},
        {"car": {"210": 1}},
        {"car": {"30": -1}},
        {"car": [1]},
        {"face": {"30": 1}},
    ],
)
def test_speeds_that_replay_does_not_write_refuse_the_file(bands: dict[str, Any]) -> None:
    answer = read("events", f"{event_line()}\n{minute_line(bands)}")
    assert (answer["refused"], answer["line"]) == ("replay_wrong_value", 2)


def test_a_filter_leaves_one_rule_or_one_element(replay_files: ReplayFiles) -> None:
    text = replay_files.events.read_text()
    lines, yard, none = run_views(
        {"do": "filter", "text": text, "kind": "line", "name": ""},
        {"do": "filter", "text": text, "kind": "", "name": "yard"},
        {"do": "filter", "text": text, "kind": "line", "name": "yard"},
    )
    assert {event["kind"] for event in lines} == {"line"}
    assert {event["name"] for event in yard} == {"yard"}
    assert none == []


def test_tracks_are_those_of_the_newest_processed_frame(replay_files: ReplayFiles) -> None:
    (answers,) = run_views(
        {
            "do": "tracks",
            "text": replay_files.tracks.read_text(),
            "t_s": [3.0, 3.04, 7.4, 20.0],
            "track": 1,
        }
    )
    exact, between, late, over = answers
    assert [track["track"] for track in exact["at"]] == [1, 2]
    assert exact["at"] == between["at"]
    x, _, w, _ = exact["at"][0]["box"]
    assert x + w / 2 == pytest.approx(0.5, abs=1e-6)
    assert exact["at"][0]["label"] == "car"
    assert exact["at"][0]["speed_km_h"] > 0
    assert exact["trail"][0][0] == pytest.approx(0.4, abs=1e-6)
    assert exact["trail"][-1][0] == pytest.approx(0.5, abs=1e-6)
    assert late["at"], "kept for half a second"
    assert over["at"] == []


def test_the_two_files_are_told_apart_by_their_first_line(replay_files: ReplayFiles) -> None:
    first = [
        path.read_text().splitlines()[0] for path in (replay_files.events, replay_files.tracks)
    ]
    jobs = [{"do": "kind", "line": line} for line in (*first, "{}", "film", "[1]", "null")]
    assert run_views(*jobs) == ["events", "tracks", None, None, None, None]


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ({"t_s": None}, "t_s"),
        ({"t_s": -1}, "t_s"),
        ({"t_s": 1e300}, "t_s"),
        ({"t_ns": "3"}, "t_ns"),
        ({"kind": "<script>"}, "kind"),
        ({"kind": "__proto__"}, "kind"),
        ({"event": 7}, "event"),
        ({"name": "x" * 81}, "name"),
        ({"name": ["gate"]}, "name"),
        ({"label": "face"}, "label"),
        ({"track": 1e12}, "track"),
        ({"direction": {}}, "direction"),
        ({"count": -1}, "count"),
    ],
)
def test_a_wrong_event_refuses_the_file_with_its_line(changed: dict[str, Any], key: str) -> None:
    text = f"{event_line()}\n{event_line(**changed)}\n"
    answer = read("events", text)
    assert (answer["refused"], answer["line"], answer["key"]) == ("replay_wrong_value", 2, key)
    assert len(answer["value"]) <= 60


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ({"t_s": "1"}, "t_s"),
        ({"t_s": 0.5}, "t_s"),
        ({"box": [0, 0, 1]}, "box"),
        ({"box": [0, 0, 1, 1e9]}, "box"),
        ({"box": "box"}, "box"),
        ({"label": "dog"}, "label"),
        ({"track": None}, "track"),
        ({"ground": 5}, "ground"),
        ({"ground": {"speed_km_h": -1}}, "ground.speed_km_h"),
        ({"ground": {"speed_km_h": "fast"}}, "ground.speed_km_h"),
    ],
)
def test_a_wrong_track_refuses_the_file_with_its_line(changed: dict[str, Any], key: str) -> None:
    text = f"{json.dumps(GOOD_TRACK)}\n{json.dumps({**GOOD_TRACK, **changed})}"
    answer = read("tracks", text)
    assert (answer["refused"], answer["line"], answer["key"]) == ("replay_wrong_value", 2, key)


def test_a_track_has_a_speed_if_it_is_known() -> None:
    grounds: list[dict[str, Any]] = [
        {},
        {"ground": None},
        {"ground": {"speed_km_h": None}},
        {"ground": {"speed_km_h": 43.2}},
    ]
    lines = [json.dumps({**GOOD_TRACK, "track": at, **ground}) for at, ground in enumerate(grounds)]
    ((found,),) = run_views({"do": "tracks", "text": "\n".join(lines), "t_s": [1.0], "track": 1})
    speeds = [track["speed_km_h"] for track in found["at"]]
    assert speeds == [None, None, None, pytest.approx(43.2, abs=1e-4)]


@pytest.mark.parametrize("line", ["{", '"text"', "[]", "null", '{"type": "health"}', "\x00"])
def test_a_line_of_another_program_refuses_the_file(line: str) -> None:
    assert read("events", f"{event_line()}\n\n{line}")["line"] == 3


def test_files_are_bounded() -> None:
    assert read("events", "\n".join([event_line()] * 4), lines=3) == {
        "refused": "replay_too_many_lines",
        "allowed": 3,
    }
    long = read("events", "x" * 5000, line_chars=1000)
    assert (long["refused"], long["line"]) == ("replay_long_line", 1)
    many = "\n".join([json.dumps({**GOOD_TRACK, "t_s": float(t_s)}) for t_s in range(9000)])
    assert read("tracks", many)["read"]["length"] == 9000


def test_names_are_kept_as_they_are() -> None:
    hostile = "<img src=x onerror=alert(1)>"
    events = read("events", event_line(name=hostile, direction=hostile))["read"]["events"]
    assert (events[0]["name"], events[0]["direction"]) == (hostile, hostile)


@pytest.fixture(scope="module")
def script() -> Iterator[NodeScript]:
    with NodeScript("views.mjs") as opened:
        yield opened


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**40), 2**40),
    st.floats(allow_nan=False),
    st.text(max_size=5),
)
VALUES = st.one_of(
    SCALARS, st.lists(SCALARS, max_size=5), st.dictionaries(st.text(max_size=3), SCALARS)
)
FLOW = {
    "lines": [{"name": "gate", "counts": {"to the right": {"car": 1}}}],
    "flows": [{"name": "on", "from": "gate", "to": "quiet", "counts": {"car": 1}}],
    "end_ns": 1,
}


@settings(max_examples=150)
@given(key=st.sampled_from([*GOOD_EVENT, *GOOD_TRACK, *FLOW, "type", "data"]), value=VALUES)
def test_any_value_is_read_or_refused_and_breaks_nothing(
    script: NodeScript, key: str, value: Any
) -> None:
    lines = [
        {"type": "event", "data": {**GOOD_EVENT, key: value}},
        {"type": "flow", "data": {**FLOW, key: value}},
        {"type": "event", "data": GOOD_EVENT, key: value},
        {**GOOD_TRACK, key: value},
    ]
    for line in lines:
        for kind in ("events", "tracks"):
            answer = script.ask({"do": "lines", "kind": kind, "text": json.dumps(line)})
            assert answer.keys() & {"read", "refused"}


def test_a_label_that_would_cover_one_of_more_weight_is_left_out() -> None:
    def label(text: str, x: float, y: float) -> dict[str, Any]:
        return {"text": text, "x": x, "y": y, "font_px": 10}

    near, far, aside = (
        label("person 1", 100, 50),
        label("person 2", 120, 55),
        label("car 3", 190, 50),
    )
    below = label("car 4", 100, 61)
    (shown,) = run_views({"do": "labels", "labels": [near, far, aside, below]})
    assert shown == [near, aside, below]


def test_a_label_with_other_places_is_at_the_first_that_is_free() -> None:
    first, second = (
        {"text": name, "x": 100, "y": 50, "font_px": 10, "shifts_px": [12, -12]}
        for name in ("queue", "crossing")
    )
    (shown,) = run_views({"do": "labels", "labels": [first, second, second, second]})
    assert [label["y"] for label in shown] == [50, 62, 38]
