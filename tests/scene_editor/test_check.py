"""The page's check and the box's: the same scenes, the same messages."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
import tomlkit
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.base.errors import UserError
from agent.base.model import LABELS
from agent.detection import scene
from agent.detection.scene import ZoneKind
from tests.scene_editor.node_runner import NodeScript
from tests.scene_editor.node_views import run_views

VECTORS = Path(__file__).parents[1] / "vectors" / "scene"
FILES = sorted(VECTORS.glob("*.json"))
CASES = [
    pytest.param(case, id=f"{file.stem}: {case['name']}")
    for file in FILES
    for case in json.loads(file.read_text(encoding="utf-8"))
]
NOT_TOML = "not TOML"


def check_in_python(text: str) -> str | None:
    """The message of the first mistake as `load_scene` raises it, without the file's name."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "scene.toml"
        file.write_bytes(text.encode())
        try:
            scene.load_scene(file)
        except UserError as error:
            message = str(error)
            is_toml = "not valid TOML" not in message
            return message.removeprefix(f"{file}: ") if is_toml else NOT_TOML
    return None


@pytest.mark.parametrize("case", CASES)
def test_python_passes_each_vector(case: Mapping[str, Any]) -> None:
    assert check_in_python(case["toml"]) == case["error"]


@pytest.fixture(scope="module")
def page_check() -> Iterator[NodeScript]:
    with NodeScript("check.mjs") as script:
        yield script


@pytest.mark.parametrize("case", CASES)
def test_the_page_passes_each_vector(page_check: NodeScript, case: Mapping[str, Any]) -> None:
    assert page_check.ask(case["toml"]) == case["error"]


COORDINATES = st.one_of(
    st.integers(0, 1),
    st.floats(0, 1),
    st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0]),
    st.sampled_from([-0.1, 1.2, 2, -1, float("nan"), float("inf"), "a", True]),
)
POINTS = st.one_of(st.lists(COORDINATES, min_size=2, max_size=2), st.lists(COORDINATES, max_size=3))
NAMES = st.one_of(st.text(max_size=8), st.sampled_from(["l", "z", "it's", "forward", "x" * 81, 5]))
NUMBERS = st.one_of(
    st.integers(-2, 90_000), st.floats(width=32), st.sampled_from([0, 1, 2, 1000, 1001, 360, "1"])
)
LABEL_LISTS = st.lists(st.sampled_from([*LABELS, "tram", 1]), max_size=3)
VALUES = {
    "name": NAMES,
    "from": POINTS,
    "to": POINTS,
    "forward_name": NAMES,
    "backward_name": NAMES,
    "events": st.one_of(st.booleans(), st.integers(0, 1)),
    "labels": LABEL_LISTS,
    "polygon": st.lists(POINTS, max_size=6),
    "kind": st.sampled_from([*get_args(ZoneKind), "road", 1]),
    "hours": st.lists(
        st.one_of(
            st.from_regex(r"([a-z]{3}[-,]?)* ?[0-9]{2}:[0-9]{2}-[0-9]{2}:[0-9]{2}", fullmatch=True),
            st.sampled_from(["mon-fri 07:30-09:00", "22:00-24:00", "sun 24:00-01:00", 5]),
        ),
        max_size=3,
    ),
}
MARKS = [
    {"at": [0.3, 0.6], "metres": [0, 0]},
    {"at": [0.7, 0.6], "metres": [7, 0]},
    {"at": [0.6, 0.4], "metres": [7.0, 15]},
    {"at": [0.4, 0.4], "metres": [0, 15]},
]
LEVEL = [{**mark, "at": [mark["at"][0], 0.5]} for mark in MARKS]
GROUNDS = st.sampled_from(
    [
        {"point": MARKS},
        {"point": MARKS},
        {"point": MARKS[:3]},
        {"point": LEVEL},
        {"aspect": 9},
        5,
        {},
    ]
)
PLACES = st.lists(st.sampled_from([0, 3.5, 7, 12, 400, -10_001, "a"]), min_size=2, max_size=2)
VALUES |= {"from_m": PLACES, "to_m": PLACES, "polygon_m": st.lists(PLACES, max_size=5)}
PLACE_KEYS = ("from", "to", "from_m", "to_m", "polygon", "polygon_m")
TABLES: dict[str, type[msgspec.Struct]] = {
    "line": scene.SceneLine,
    "zone": scene.Zone,
    "flow": scene.SceneFlow,
    "mask": scene.PrivacyMask,
    "ignore": scene.IgnoreZone,
}


FLOW_ENDS = st.one_of(st.sampled_from(["l", "z", "it's", "forward", 5]), st.text(max_size=2))


def rows(kind: type[msgspec.Struct]) -> st.SearchStrategy[dict[str, Any]]:
    values = VALUES | ({"from": FLOW_ENDS, "to": FLOW_ENDS} if kind is scene.SceneFlow else {})
    fields = {
        field.encode_name: values.get(field.encode_name, NUMBERS)
        for field in msgspec.structs.fields(kind)
    }
    given = [
        {name: fields[name] for name in names}
        for names in (["name", "from", "to"], ["from_m", "to_m"], ["polygon"], ["polygon_m"], [])
        if set(names) <= fields.keys()
    ]
    others = {name: value for name, value in fields.items() if name not in PLACE_KEYS}
    others["colour"] = st.just("red")
    return st.one_of(
        *(
            st.fixed_dictionaries(
                keys, optional={name: value for name, value in others.items() if name not in keys}
            )
            for keys in given
        ),
        st.fixed_dictionaries({}, optional={**fields, **others}),
    )


SCENES = st.fixed_dictionaries(
    {},
    optional={
        **{name: st.lists(rows(kind), max_size=3) for name, kind in TABLES.items()},
        "ground": GROUNDS,
    },
).map(lambda tables: tomlkit.dumps({name: rows for name, rows in tables.items() if rows}))


@settings(max_examples=150)
@given(text=SCENES)
def test_the_page_and_python_find_the_same_first_mistake(page_check: NodeScript, text: str) -> None:
    assert page_check.ask(text) == check_in_python(text)


GROUND_FILES = sorted((VECTORS.parent / "ground").glob("*.json"))
ENGLISH = {"allowed:", "missing;", "unknown", "Refused:", "needed:", "and", "the", "of"}


@pytest.mark.parametrize("language", ["fr", "ar"])
def test_each_mistake_is_shown_in_the_language_of_the_page(language: str) -> None:
    """Of elements, of the marks of the ground, and of a text that is not TOML."""
    scenes = [case["toml"] for file in FILES for case in json.loads(file.read_text("utf-8"))]
    grounds = [json.loads(file.read_text("utf-8"))["ground"] for file in GROUND_FILES]
    scenes += [tomlkit.dumps({"ground": ground}) for ground in grounds]
    shown = run_views(*({"do": "findings", "toml": toml, "language": language} for toml in scenes))
    pairs = sorted({(message, words) for findings in shown for message, words in findings})
    assert len(pairs) > 100
    for message, words in pairs:
        assert words != message
        # Only the reason of the TOML parser stays English.
        own_words = words if "not valid TOML" not in message else words.partition("TOML")[0]
        assert not ENGLISH & set(own_words.split()), words
        assert "{" not in own_words.replace("{}", ""), words
        assert not words.startswith("ground_error_"), words


@pytest.mark.parametrize(
    ("language", "shown"),
    [
        (
            "fr",
            "loin\xa0: 6.5 px/m, nécessaires\xa0: 7 pour voitures, bus\xa0; 10 pour personnes",
        ),
        ("ar", "loin: 6.5 px/m، المطلوب: 7 لـ سيارات، حافلات؛ 10 لـ أشخاص"),
    ],
)
def test_too_few_pixels_are_a_warning_in_the_language_of_the_page(
    language: str, shown: str
) -> None:
    needs = [{"px_per_m": 7, "labels": ["car", "bus"]}, {"px_per_m": 10, "labels": ["person"]}]
    found = {"list": "line", "index": 0, "name": "loin", "px_per_m": 6.5, "needs": needs}
    assert run_views({"do": "lowDensity", "found": found, "language": language}) == [shown]
