"""What the console shows of a configuration is that configuration, and has no secret in it."""

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agent.config.shareable_config import REDACTED, redact_config
from agent.config.toml_lines import format_lines

TEXT = """
[box]
id = "casa-0001"
[broker]
url = "mqtts://centre:8883"
[[camera]]
name = "north"
driver = "rtsp"
[camera.options]
url = "rtsp://admin:hunter2@10.0.0.21/main?password=hunter2"
password = "hunter2"
masks = [[0.1, 0.2], [0.3, 0.4]]
[kamera]
private = "hunter2"
# the old password was hunter2
"""


def test_secrets_are_left_out_wherever_they_stand() -> None:
    shown = "\n".join(format_lines(redact_config(tomllib.loads(TEXT))))
    assert "hunter2" not in shown
    assert "admin" not in shown
    assert "rtsp://10.0.0.21" in shown
    assert REDACTED in shown


Scalars = st.one_of(
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["C"])),
)
Tables = st.recursive(
    st.dictionaries(st.text(st.characters(exclude_categories=["C"])), Scalars, max_size=4),
    lambda inner: st.dictionaries(
        st.text("abc_-", min_size=1), st.one_of(inner, st.lists(inner, max_size=3)), max_size=3
    ),
    max_leaves=8,
)


@given(Tables)
def test_the_lines_say_what_the_tables_do(tables: dict[str, Any]) -> None:
    assert tomllib.loads("\n".join(format_lines(tables))) == tables
