"""agent.cli.arguments: a wrong argument is one line and exit code 2, in the user's words."""

import pytest

from agent.__main__ import main


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("", "the following arguments are required: COMMAND; see vigie --help"),
        ("run", "run: the following arguments are required: --config; see vigie run --help"),
        ("run --config a --fast x\n", "unrecognized arguments: --fast x; see vigie --help"),
        ("ptz move --speed 5 left", "--speed 5: allowed: a number above 0, up to 1"),
        ("ptz move --speed -0.5 left", "--speed -0.5: allowed: a number above 0, up to 1"),
        ("ptz goto --speed fast a", "--speed 'fast': allowed: a number above 0, up to 1"),
        ("ptz move --for 61 left", "--for 61: allowed: a number above 0, up to 60"),
        ("ptz move --for nan left", "--for nan: allowed: a number above 0, up to 60"),
        ("boot-good --config a --within 0", "--within 0: allowed: a number above 0, up to 86400"),
        ("footage hold --days ten", "--days 'ten': allowed: a number above 0, up to 90"),
        ("ptz move --speed", "ptz move: --speed: expected one argument; see vigie ptz move --help"),
    ],
)
def test_a_wrong_argument_is_one_line(
    capsys: pytest.CaptureFixture[str], typed: str, line: str
) -> None:
    assert main(typed.split(" ") if typed else []) == 2
    assert capsys.readouterr() == ("", f"vigie: {line}\n")


@pytest.mark.parametrize("command", ["footage verify a", "bundle verify a", "commission verify a"])
@pytest.mark.parametrize("key", ["A" * 42, "A" * 42 + "B=", "MCowBQYDK2VwAyEA", "clé", ""])
def test_a_mistyped_public_key_is_no_broken_signature(
    capsys: pytest.CaptureFixture[str], command: str, key: str
) -> None:
    assert main([*command.split(), "--public-key", key]) == 2
    assert capsys.readouterr() == (
        "",
        f"vigie: --public-key {key!r}: not a public key; allowed: the base64 of 32 bytes, 44 characters\n",
    )
