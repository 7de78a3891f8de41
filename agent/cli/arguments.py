"""Arguments that several commands share, and the parser that reports a wrong one in one line."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from agent.base.errors import UserError


class OneLineParser(argparse.ArgumentParser):
    """A parser that raises UserError instead of printing the usage, which hides the error below it.

    Its subcommands' parsers are of this class too.
    """

    def error(self, message: str) -> NoReturn:
        """Raise UserError: the command, the problem, and the command that prints the usage."""
        command = self.prog.partition(" ")[2]
        problem = " ".join(message.removeprefix("argument ").split())
        raise UserError(f"{command}: {problem}; see {self.prog} --help".removeprefix(": "))


def add_config(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Add the configuration of a box."""
    parser.add_argument(
        "--config", metavar="FILE", type=Path, required=required, help="the configuration, TOML"
    )


def add_json(parser: argparse._ActionsContainer) -> None:
    """Add the output for machines."""
    parser.add_argument("--json", action="store_true", help="one line of JSON, for machines")


def add_public_key(parser: argparse.ArgumentParser) -> None:
    """Add the key that the centre knows a box by."""
    parser.add_argument(
        "--public-key",
        metavar="KEY",
        type=_parse_public_key,
        help="the box's key as the centre knows it, base64",
    )


def _parse_public_key(text: str) -> str:
    """Return the key. Raises UserError: a mistyped key must not read as a broken signature."""
    from agent.base.signed_manifest import decode_public_key  # noqa: PLC0415 - it imports cryptography

    try:
        decode_public_key(text)
    except ValueError as error:
        raise UserError(
            f"--public-key {text!r}: not a public key; allowed: the base64 of 32 bytes, 44 characters"
        ) from error
    return text


def sudo_user() -> str | None:
    """Return the name of the user who has become root by sudo, otherwise None."""
    return os.environ.get("SUDO_USER")


def number_parser(option: str, maximum: float) -> Callable[[str], float]:
    """Return the parser of a number above 0, up to `maximum`. It raises UserError, in the user's words."""

    def parse(text: str) -> float:
        try:
            number, shown = float(text), text
        except ValueError:
            number, shown = 0.0, repr(text)
        if not 0 < number <= maximum:
            raise UserError(f"{option} {shown}: allowed: a number above 0, up to {maximum:g}")
        return number

    return parse
