"""Reading of TOML files that a person writes, bounded, with one clear line per mistake."""

import tomllib
from pathlib import Path
from typing import Any

from agent.base.checked_convert import MAX_DEPTH, is_too_deep
from agent.base.errors import UserError
from agent.base.file_read import read_regular_file
from agent.base.message import Message

MAX_FILE_BYTES = 1_048_576


def read_toml(path: Path, description: str) -> dict[str, Any]:
    """Read the tables of a TOML file. `description` names the kind of file in messages.

    Raises: UserError if the file is missing, not readable, or not TOML.
    """
    context = f"{description} {str(path)!r}"
    try:
        data = read_regular_file(path, MAX_FILE_BYTES)
    except OSError as error:
        raise UserError(
            Message("{label}: {problem}", label=context, problem=error.strerror or str(error))
        ) from error
    return parse_toml(data, context)


def parse_toml(content: str | bytes, context: str) -> dict[str, Any]:
    """Parse a TOML text, or its bytes, which may begin with a byte order mark as editors write it.

    Messages begin with `context`. Raises: UserError if it is not TOML.
    """
    try:
        text = content if isinstance(content, str) else content.decode("utf-8-sig")
        tables = tomllib.loads(text)  # noqa: TID251 - the one place
    except UnicodeDecodeError as error:
        raise UserError(
            Message("{label}: not UTF-8 text, at byte {start}", label=context, start=error.start)
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise UserError(
            Message("{label}: not valid TOML: {error}", label=context, error=str(error))
        ) from error
    except (ValueError, RecursionError) as error:
        raise UserError(
            Message("{label}: not valid TOML: a number or a nesting too large", label=context)
        ) from error
    if is_too_deep(tables):
        raise UserError(
            Message(
                "{label}: nested too deeply; allowed: {max} levels", label=context, max=MAX_DEPTH
            )
        )
    return tables
