"""agent.config.toml_writer: tables become a TOML file that is read as the same tables."""

import tomllib
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.config.toml_writer import dumps

LETTERS = st.characters(exclude_categories=["Cs"])
KEYS = st.one_of(st.text(LETTERS), st.text("ab.\"'"))
PLAIN = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(LETTERS),
    st.text("\"\\\n\r\t' a"),
    st.datetimes(),
    st.dates(),
    st.times(),
)
VALUES = st.recursive(
    PLAIN, lambda inner: st.one_of(st.lists(inner), st.dictionaries(KEYS, inner)), max_leaves=12
)


@settings(deadline=None)
@given(st.dictionaries(KEYS, VALUES))
def test_a_written_file_is_read_back_equal(tables: dict[str, Any]) -> None:
    assert tomllib.loads(dumps(tables)) == tables


def test_an_embedded_file_stays_legible() -> None:
    scene = '[[line]]\nname = "stop"\n'
    assert dumps({"files": {"north.toml": scene}}) == (
        '[files]\n"north.toml" = """\n[[line]]\nname = "stop"\n"""\n'
    )
