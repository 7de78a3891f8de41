"""The partition of the card that everybody's laptop can read: the settings come from there, and what the
technician needs goes there. Root alone reads and writes it.
"""

import os
import stat
from pathlib import Path

from agent.base import atomic_file
from agent.provisioning.settings import FILE_NAME, MOST_BYTES

RESULT_FILE = "vigie-result.txt"
REQUEST_END = ".csr.pem"


def tidy(card: Path) -> None:
    """Drop what a cut has left half written. Raises OSError."""
    for making in card.glob(f".*{atomic_file.MAKING}"):
        making.unlink()


def settings(card: Path) -> bytes | None:
    """The settings file, as far as its limit and a byte more; None where there is none. Raises OSError."""
    try:
        handle = os.open(card / FILE_NAME, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(f"{card / FILE_NAME}: is no file")
    with os.fdopen(handle, "rb") as file:
        return file.read(MOST_BYTES + 1)


def look_alikes(card: Path) -> list[str]:
    """Files that may have been meant: a laptop hides the end of a name, or adds one."""
    try:
        names = sorted(path.name for path in card.iterdir())
    except OSError:
        return []
    return [name for name in names if "settings" in name.lower() or name.lower().endswith(".toml")]


def put_request(card: Path, box: str, request: str) -> bool:
    """Put the certificate request there, where it is not yet. Whether it was put. Raises OSError.

    A request for the same key is another text each time: what is there stays where it is for this key.
    """
    # Here, because most starts have no request, and it takes its time to load.
    from cryptography import x509  # noqa: PLC0415

    path = card / f"{box}{REQUEST_END}"
    try:
        there = x509.load_pem_x509_csr(path.read_bytes())
        mine = x509.load_pem_x509_csr(request.encode())
        if there.public_key() == mine.public_key() and there.subject == mine.subject:
            return False
    except (FileNotFoundError, ValueError):
        pass
    atomic_file.replace_on_fat(path, request.encode())
    return True


def write_scrubbed_settings(card: Path, left: bytes) -> None:
    """Put the settings without their secrets in place of those with them, whose bytes are overwritten
    once they are no file any more. Raises OSError.
    """
    path = card / FILE_NAME
    with path.open("r+b") as old:
        size = os.fstat(old.fileno()).st_size
        atomic_file.replace_on_fat(path, left)
        old.write(bytes(size))
        old.flush()
        os.fsync(old.fileno())


def result(card: Path) -> str | None:
    """What the laptop is told now; None where nothing is. Raises OSError."""
    try:
        return (card / RESULT_FILE).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None


def put_result(card: Path, text: str) -> None:
    """Tell the laptop what came of it. A card is not worn out by saying the same again. Raises OSError."""
    path = card / RESULT_FILE
    try:
        if path.read_bytes() == text.encode():
            return
    except FileNotFoundError:
        pass
    atomic_file.replace_on_fat(path, text.encode())
