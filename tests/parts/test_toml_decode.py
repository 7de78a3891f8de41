"""agent.config.toml_decode: a file that is not TOML gives one line that names it."""

from pathlib import Path

import pytest

from agent.base.errors import UserError
from agent.config import toml_decode


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a = ", "not valid TOML: Invalid value (at end of document)"),
        (b"a = '\xff'", "not UTF-8 text, at byte 5"),
        (b"a = 1\na = 2\n", "not valid TOML: Cannot overwrite a value (at line 2, column 6)"),
        (b"a = " + b"[" * 5_000 + b"]" * 5_000, "not valid TOML: a number or a nesting too large"),
        (b"a = " + b"9" * 5_000, "not valid TOML: a number or a nesting too large"),
        (b"a = " + b"[" * 24 + b"]" * 24, "nested too deeply; allowed: 24 levels"),
        (b"a" + b".a" * 5_000 + b" = 1", "nested too deeply; allowed: 24 levels"),
    ],
)
def test_a_file_that_is_not_toml_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "cart.toml"
    file.write_bytes(content)
    with pytest.raises(UserError) as refused:
        toml_decode.read_toml(file, "cart")
    assert str(refused.value) == f"cart {str(file)!r}: {message}"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.toml", "No such file or directory"),
        ("a\0b.toml", "a path that contains NUL"),
        ("a" * 300, "File name too long"),
    ],
)
def test_a_missing_or_unreadable_file_is_named(tmp_path: Path, name: str, message: str) -> None:
    file = tmp_path / name
    with pytest.raises(UserError) as refused:
        toml_decode.read_toml(file, "cart")
    assert str(refused.value) == f"cart {str(file)!r}: {message}"
