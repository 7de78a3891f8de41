"""Files of secrets: passwords, keys, and the secret of a console in base64. No message has a file's content."""

import base64
import stat
from pathlib import Path

from agent.base.errors import UserError
from agent.base.file_read import MAX_PEM_BYTES, read_regular_file

MIN_SECRET_BYTES = 16


def read_secret(path: Path) -> bytes:
    """Read a secret in base64. Raises UserError, whose message never has the file's content."""
    return decode_secret(read_secret_text(path), f"secret {str(path)!r}")


def read_secret_text(path: Path) -> str:
    """Read a file of secrets that others may not read. Raises UserError, without the file's content."""
    label = f"secret {str(path)!r}"
    try:
        text = read_regular_file(path, MAX_PEM_BYTES)
        mode = path.stat().st_mode
    except OSError as error:
        raise UserError(f"{label}: {error.strerror or error}") from error
    if stat.S_IMODE(mode) & 0o007:
        raise UserError(f"{label}: mode {stat.S_IMODE(mode):o}; allowed: 600 or 640")
    return text.decode("ascii", errors="replace")


def decode_secret(text: str, label: str) -> bytes:
    """Return the secret of its base64. Raises UserError, which begins with the label and has no secret."""
    try:
        secret = base64.b64decode(text.strip(), validate=True)
    except ValueError as error:
        raise UserError(f"{label}: not base64") from error
    if len(secret) < MIN_SECRET_BYTES:
        raise UserError(f"{label}: {len(secret)} bytes; allowed: {MIN_SECRET_BYTES} or more")
    return secret
