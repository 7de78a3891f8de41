"""List of the secrets of all boxes' consoles: CSV, one file that the office keeps."""

from collections.abc import Mapping
from pathlib import Path

from agent.base import secret_file
from agent.base.errors import UserError

LIST_FILE = "console-secrets.csv"
_HEADER = "box.id,console.secret"


def format_list(secrets: Mapping[str, str]) -> bytes:
    """Return the list of secrets, which are base64, by the ids of their boxes."""
    lines = [_HEADER, *(f"{box_id},{secret.strip()}" for box_id, secret in sorted(secrets.items()))]
    return "".join(f"{line}\n" for line in lines).encode()


def read_secret(path: Path, box_id: str) -> bytes:
    """Read the secret of a box from a list, or from a file of its own.

    Raises: UserError, whose message never has a secret.
    """
    text = secret_file.read_secret_text(path)
    label = f"secret {str(path)!r}"
    header, _, lines = text.partition("\n")
    if header.strip() != _HEADER:
        return secret_file.decode_secret(text, label)
    for line in lines.splitlines():
        listed_id, _, secret = line.partition(",")
        if listed_id.strip() == box_id:
            return secret_file.decode_secret(secret, f"{label}, box {box_id!r}")
    raise UserError(f"{label}: box {box_id!r} is not in the list")
