"""Any value of any key, in the box's file and in a version of the centre: it is taken, or refused in one line."""

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.base.clock import SystemClock
from agent.config import desired_keys
from agent.config.configuration import Config, read_file
from agent.config.desired_store import ConfigLayer, DesiredStore
from agent.config_change.config_check import find_problems
from agent.config_change.desired_message import truncate_reasons
from agent.config_change.start_config import RefusedVersion, check_version
from tests.documents.test_docs import keys
from tests.fuzz.target import check_one_line

KEYS = keys(Config)
TABLES = {key[: match.start()] for key in KEYS for match in re.finditer(r"\.|\[\]", key)}
ALL_KEYS = sorted(KEYS | TABLES)
CENTRE_KEYS = sorted(key for key in ALL_KEYS if desired_keys.is_settable(key) or key in TABLES)
CLOCK = SystemClock()
NAMES = {"camera": "north", "head": "mast"}
BASE = {
    "box": {"id": "pole-17", "site": "x", "state": "state"},
    "broker": {"url": "mqtt://127.0.0.1:1"},
    "camera": [{"name": "north", "driver": "fake"}],
    "head": [{"name": "mast", "driver": "fake"}],
}

numbers = st.integers(-(2**63), 2**63 - 1) | st.floats()
texts = st.text(max_size=5)
dates = st.dates() | st.times() | st.datetimes()
plain = st.booleans() | numbers | texts


def nested(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
        max_leaves=3,
    )


json_values = nested(plain | st.none() | st.integers())
toml_values = nested(plain | dates)


def table_of(key: str, value: object) -> dict[str, Any]:
    """The tables that a key is in, such as `record.recipient[].name`: each list has one item."""

    for step in reversed(key.split(".")):
        value = {step.removesuffix("[]"): [value] if step.endswith("[]") else value}
    assert isinstance(value, dict)
    return value


def merged(base: Any, other: Any) -> Any:
    if isinstance(base, dict) and isinstance(other, dict):
        return {**base, **{key: merged(base.get(key), value) for key, value in other.items()}}
    if isinstance(base, list) and isinstance(other, list) and len(base) == len(other) == 1:
        return [merged(base[0], other[0])]
    return other


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.mark.parametrize("key", ALL_KEYS)
def test_a_value_of_the_boxs_file_is_taken_or_refused_in_one_line(key: str, folder: Path) -> None:
    path = folder / "vigie.toml"

    @given(value=toml_values)
    @settings(max_examples=4, deadline=None)
    def check(value: object) -> None:
        path.write_text(tomlkit.dumps(merged(BASE, table_of(key, value))))
        for line in find_problems(path, CLOCK):
            check_one_line(str(line))

    check()


@pytest.mark.parametrize("key", CENTRE_KEYS)
def test_a_value_of_a_version_is_taken_or_refused_in_one_line(key: str, folder: Path) -> None:
    path = folder / "vigie.toml"
    path.write_text(tomlkit.dumps(BASE))
    store = DesiredStore(folder / "state")

    @given(value=json_values)
    @settings(max_examples=10, deadline=None)
    def check(value: object) -> None:
        tables = table_of(key, value)
        for kind in desired_keys.LISTS_BY_NAME:
            if isinstance(tables.get(kind), list) and key != kind:
                tables[kind] = {NAMES[kind]: tables[kind][0]}
        layer = ConfigLayer(settings=tables)
        try:
            check_version(read_file(path), layer, store, CLOCK)
        except RefusedVersion as refused:
            for line in truncate_reasons(tuple(map(str, refused.problems))):
                check_one_line(line)
        layer.keys()

    check()


@pytest.mark.parametrize("value", [{}, [], {"name": "nanodet"}, 7, None])
def test_a_model_that_is_no_name_is_refused_in_one_line(value: object, folder: Path) -> None:
    path = folder / "vigie.toml"
    path.write_text(tomlkit.dumps(BASE))
    layer = ConfigLayer(settings={"camera": {"north": {"detect": {"model": value}}}})
    with pytest.raises(RefusedVersion) as refused:
        check_version(read_file(path), layer, DesiredStore(folder / "state"), CLOCK)
    (line,) = refused.value.problems
    assert re.fullmatch(
        r"camera\.north\.detect\.model( = \w+|: a \w+)[:;] allowed: a text", str(line)
    )
