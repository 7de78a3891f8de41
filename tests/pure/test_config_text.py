"""centre.config_text."""

import tomllib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.base.errors import UserError
from agent.config.desired_config import DesiredContent, content_digest
from centre.config_text import difference, merge, read_tables, to_toml

LINE = '[[line]]\nname = "a"\nfrom = [0, 0.5]\nto = [1, 0.5]\n'
MASK = "[[mask]]\npolygon = [[0.1, 0.1], [0.5, 0.1], [0.5, 0.5]]\n"


def content(**fields: Any) -> DesiredContent:
    return msgspec.convert(fields, DesiredContent)


def read_back(text: str) -> DesiredContent:
    tables = read_tables(tomllib.loads(text), "version.toml")
    return msgspec.convert(tables, DesiredContent)


NAMES = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,8}", fullmatch=True)
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-9, 9), st.floats(allow_nan=False), st.text(max_size=9)
)
SETTINGS = st.dictionaries(
    NAMES,
    st.recursive(
        st.one_of(VALUES, st.lists(st.integers(0, 9))),
        lambda inner: st.dictionaries(NAMES, inner, min_size=1, max_size=3),
        max_leaves=6,
    ),
    max_size=3,
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
CONTENTS = st.builds(
    DesiredContent,
    settings=SETTINGS,
    scenes=st.dictionaries(
        NAMES, st.one_of(TEXTS, st.dictionaries(NAMES, TEXTS, min_size=1)), max_size=2
    ),
)


@given(CONTENTS)
def test_what_is_shown_can_be_sent_again_and_obeys_no_terminal(version: DesiredContent) -> None:
    text = to_toml(version)
    assert content_digest(read_back(text)) == content_digest(version)
    assert all(char.isprintable() or char == "\n" for char in text)


def test_a_scene_is_shown_on_lines_of_its_own() -> None:
    text = to_toml(content(scenes={"north": LINE}, settings={"record": {"max_age_h": 48}}))
    assert (
        text
        == f'[settings.record]\nmax_age_h = 48\n\n[scenes]\nnorth = """\n{LINE}"""\n'.replace(
            'name = "a"', 'name = "a"'
        )
    )


def test_a_value_that_is_taken_away_is_shown_as_unset() -> None:
    version = content(settings={"camera": {"north": {"transcode": None, "record": True}}})
    text = to_toml(version)
    assert text.startswith('unset = ["camera.north.transcode"]\n')
    assert read_back(text) == version


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"unset": 5}, "v.toml: unset = 5: allowed: a list"),
        (
            {"unset": ["record.x"], "settings": {"record": 5}},
            "v.toml: unset = 'record.x': record has a value; allowed: no key of it",
        ),
    ],
)
def test_a_wrong_unset_is_refused_in_one_line(tables: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        read_tables(tables, "v.toml")
    assert str(error.value) == message


def test_a_merge_changes_what_it_names_and_keeps_the_rest() -> None:
    in_force = content(
        settings={"record": {"max_age_h": 72, "segment_s": 5}, "hold": {"kinds": ["line"]}},
        scenes={"north": LINE, "dome": {"gate": LINE, "bay": MASK}},
        presets={"mast": {"gate": {"pan_deg": 1, "tilt_deg": 2}}},
    )
    merged = merge(
        in_force,
        {
            "settings": {"record": {"max_age_h": 48}, "hold": {"kinds": ["queue"]}},
            "scenes": {"dome": {"bay": ""}},
        },
    )
    assert msgspec.convert(merged, DesiredContent) == content(
        settings={"record": {"max_age_h": 48, "segment_s": 5}, "hold": {"kinds": ["queue"]}},
        scenes={"north": LINE, "dome": {"gate": LINE, "bay": ""}},
        presets={"mast": {"gate": {"pan_deg": 1, "tilt_deg": 2}}},
    )


def test_what_a_version_drops_changes_and_adds_has_a_line_each() -> None:
    card = {"card": "", "url": "https://files.example.org/a.tflite", "size_bytes": 1}
    old = content(
        settings={"record": {"max_age_h": 72, "segment_s": 5}},
        scenes={"north": LINE + MASK, "south": LINE, "dome": {"gate": LINE, "bay": ""}},
        presets={"mast": {"gate": {"pan_deg": 1, "tilt_deg": 2}}},
        models={"yolox": card},
    )
    new = content(
        settings={"record": {"max_age_h": 48}, "hold": {"pre_s": 10}},
        scenes={"south": LINE * 2, "dome": {"gate": LINE}},
    )
    dropped, others = difference(old, new)
    assert dropped == [
        "- record.segment_s = 5",
        "- scenes.north = 1 line, 1 mask",
        "- scenes.dome.bay = an empty scene",
        '- presets.mast.gate = {"pan_deg":1.0,"tilt_deg":2.0,"zoom":0.0}',
        "- models.yolox = https://files.example.org/a.tflite",
    ]
    assert others == [
        "+ hold.pre_s = 10",
        "~ record.max_age_h = 48, now 72",
        "~ scenes.south = 2 lines, now 1 line",
    ]


def test_a_difference_obeys_no_terminal() -> None:
    escape = "\x1b[2J"
    old = content(settings={escape: escape}, scenes={"north": f"[[line]]\nname = '{escape}'\n"})
    dropped, _ = difference(old, content())
    assert all(line.isprintable() for line in dropped)
