"""The scene as text: each edit changes its own keys, and no comment is lost."""

import tomllib
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.scene_editor.node_runner import NodeScript

STREET = (Path(__file__).parents[2] / "centre" / "demo" / "scenes" / "street.toml").read_text(
    encoding="utf-8"
)
SCENE = """\
# The junction of two streets, drawn in May.

# The stop line.
[[line]]
name = "stop line" # on the ground
from = [0.1, 0.2]
to = [0.8, 0.2]
# labels = ["car"]

# ---- zones ----

[[zone]]   # the left lane
name = 'left'
polygon = [
  [0.10, 0.10], # the kerb
  [0.9, 0.1],
  # and back
  [0.9, 0.9],
]
# of lawful travel
direction_deg = 90.0


# windows
[[mask]]
polygon = [[0.0, 0.0], [0.3, 0.0], [0.3, 0.3]] # floor 1
# the balcony of floor 2
[[mask]]
polygon = [[0.5, 0.0], [0.8, 0.0], [0.8, 0.3]]
# end of the file"""
TRIANGLE = [[0.25, 0.5], [0.75, 0.5], [0.5, 1]]
INLINE = 'line = [{name = "a", from = [0, 0], to = [1, 1]}] # one\nzone = []\n'


@pytest.fixture(scope="module")
def editing() -> Iterator[NodeScript]:
    with NodeScript("edit.mjs") as script:
        yield script


def comments(text: str) -> list[str]:
    """The comments of a text in which no value has a number sign."""
    return [line[line.index("#") :].strip() for line in text.splitlines() if "#" in line]


def edited(editing: NodeScript, text: str, *edits: list[Any]) -> str:
    answer = editing.ask({"text": text, "edits": list(edits)})
    assert answer["undone"] == text
    assert answer["redone"] == answer["texts"][-1]
    return str(answer["texts"][-1])


def test_a_moved_point_changes_its_line_alone(editing: NodeScript) -> None:
    text = edited(editing, SCENE, ["set", "line", 0, "to", [0.8, 0.25]])
    assert text == SCENE.replace("to = [0.8, 0.2]", "to = [0.8, 0.25]")


def test_a_moved_corner_keeps_the_comments_next_to_the_others(editing: NodeScript) -> None:
    polygon = [[0.1, 0.1], [0.9, 0.15], [0.9, 0.9]]
    text = edited(editing, SCENE, ["set", "zone", 0, "polygon", polygon])
    assert text == SCENE.replace("[0.9, 0.1],", "[0.9, 0.15],")


def test_a_new_key_is_written_to_its_own_table(editing: NodeScript) -> None:
    text = edited(editing, SCENE, ["set", "mask", 0, "polygon", TRIANGLE])
    text = edited(editing, text, ["set", "zone", 0, "stopped_after_s", 20])
    assert (
        text.index("direction_deg") < text.index("stopped_after_s = 20") < text.index("# windows")
    )
    assert comments(text) == comments(SCENE)


def test_a_removed_table_takes_the_comments_directly_above_it_and_no_other(
    editing: NodeScript,
) -> None:
    text = edited(editing, SCENE, ["remove", "mask", 0])
    gone = {"# windows", "# floor 1"}
    assert comments(text) == [comment for comment in comments(SCENE) if comment not in gone]
    text = edited(editing, SCENE, ["remove", "line", 0])
    gone = {"# The stop line.", "# on the ground"}
    assert comments(text) == [comment for comment in comments(SCENE) if comment not in gone]


def test_a_new_element_follows_those_of_its_kind(editing: NodeScript) -> None:
    text = edited(editing, SCENE, ["add", "zone", 0, "", {"name": "new", "polygon": TRIANGLE}])
    block = '[[zone]]\nname = "new"\npolygon = [[0.25, 0.5], [0.75, 0.5], [0.5, 1]]\n'
    assert block in text
    assert text.index("direction_deg") < text.index(block) < text.index("# windows")
    text = edited(editing, "", ["add", "mask", 0, "", {"polygon": TRIANGLE}])
    assert text == "[[mask]]\npolygon = [[0.25, 0.5], [0.75, 0.5], [0.5, 1]]\n"


def test_tables_within_a_list_are_changed_too(editing: NodeScript) -> None:
    text = edited(editing, INLINE, ["set", "line", 0, "name", "b"])
    assert text == INLINE.replace('"a"', '"b"')
    text = edited(
        editing, INLINE, ["add", "line", 0, "", {"name": "b", "from": [0, 1], "to": [1, 0]}]
    )
    assert [line["name"] for line in tomllib.loads(text)["line"]] == ["a", "b"]
    assert comments(text) == ["# one"]


def test_line_ends_of_windows_stay(editing: NodeScript) -> None:
    text = edited(
        editing, STREET.replace("\n", "\r\n"), ["add", "mask", 0, "", {"polygon": TRIANGLE}]
    )
    assert text.count("\n") == text.count("\r\n")


NUMBERS = st.integers(0, 10_000).map(lambda number: number / 10_000)
POINTS = st.lists(NUMBERS, min_size=2, max_size=2)
VALUES = st.sampled_from(
    [
        ("name", "a 'name' with \"quotes\" \\ and \u200f marks"),
        ("name", "line\nbreak"),
        ("kind", "queue"),
        ("events", False),
        ("direction_deg", 359),
        ("stopped_after_s", 2.5),
        ("labels", ["car", "bus"]),
    ]
)
LISTS = st.sampled_from(["line", "zone", "mask", "ignore"])
EDITS = st.one_of(
    st.tuples(
        st.just("add"), LISTS, st.just(0), st.just(""), st.lists(POINTS, min_size=3, max_size=5)
    ),
    st.tuples(st.just("remove"), LISTS, st.integers(0, 3), st.just(""), st.none()),
    st.tuples(
        st.just("unset"),
        LISTS,
        st.integers(0, 3),
        st.sampled_from(["name", "events", "direction_deg"]),
        st.none(),
    ),
    st.tuples(
        st.just("set"),
        LISTS,
        st.integers(0, 3),
        st.just("polygon"),
        st.lists(POINTS, min_size=1, max_size=6),
    ),
    st.tuples(st.just("set"), LISTS, st.integers(0, 3), st.just(""), VALUES),
)


def applied(tables: dict[str, Any], edit: tuple[Any, ...]) -> list[Any] | None:
    """Apply an edit to the tables. Return it as the script takes it, or None if it has no table."""
    kind, name, index, key, value = edit
    rows = tables.setdefault(name, [])
    if kind != "add" and index >= len(rows):
        return None
    if kind == "set" and not key:
        key, value = value
    if kind == "add":
        value = {"polygon": value}
        rows.append(deepcopy(value))
    elif kind == "remove":
        rows.pop(index)
    elif kind == "unset":
        rows[index].pop(key, None)
    else:
        rows[index][key] = value
    return [kind, name, index, key, value]


@settings(max_examples=80)
@given(
    text=st.sampled_from([SCENE, STREET, INLINE, ""]), edits=st.lists(EDITS, min_size=1, max_size=8)
)
def test_any_edits_give_their_tables_and_keep_the_comments(
    editing: NodeScript, text: str, edits: list[tuple[Any, ...]]
) -> None:
    tables = tomllib.loads(text)
    taken = [taken for edit in edits if (taken := applied(tables, edit)) is not None]
    if not taken:
        return
    after = edited(editing, text, *taken)
    expected = {name: rows for name, rows in tables.items() if rows}
    assert {name: rows for name, rows in tomllib.loads(after).items() if rows} == expected
    if all(kind in ("add", "unset") or key == "name" for kind, _, _, key, _ in taken):
        kept = comments(after)
        assert [comment for comment in comments(text) if comment in kept] == kept
