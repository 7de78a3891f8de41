"""The partition of the card that everybody's laptop can read: the settings come from there, and what the
technician needs goes there. Root alone reads and writes it.
"""

import os
import stat
from pathlib import Path

from agent.base import atomic_file
from agent.provisioning.settings import FILE_NAME, MAX_SETTINGS_BYTES

RESULT_FILE = "vigie-result.txt"
REQUEST_SUFFIX = ".csr.pem"


def remove_partial_files(boot_mount: Path) -> None:
    """Drop what a cut has left half written. Raises OSError."""
    for partial in boot_mount.glob(f".*{atomic_file.TEMP_SUFFIX}"):
        partial.unlink()


def read_settings(boot_mount: Path) -> bytes | None:
    """The settings file, as far as its limit and a byte more; None where there is none. Raises OSError."""
    try:
        fd = os.open(boot_mount / FILE_NAME, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(f"{boot_mount / FILE_NAME}: is no file")
    with os.fdopen(fd, "rb") as file:
        return file.read(MAX_SETTINGS_BYTES + 1)


def find_similar_names(boot_mount: Path) -> list[str]:
    """Files that may have been meant: a laptop hides the end of a name, or adds one."""
    try:
        names = sorted(path.name for path in boot_mount.iterdir())
    except OSError:
        return []
    return [name for name in names if "settings" in name.lower() or name.lower().endswith(".toml")]


def write_request(boot_mount: Path, box: str, request: str) -> bool:
    """Put the certificate request there, where it is not yet. Whether it was put. Raises OSError.

    A request for the same key is another text each time: what is there stays where it is for this key.
    """
    # Here, because most starts have no request, and it takes its time to load.
    from cryptography import x509  # noqa: PLC0415

    path = boot_mount / f"{box}{REQUEST_SUFFIX}"
    try:
        existing = x509.load_pem_x509_csr(path.read_bytes())
        expected = x509.load_pem_x509_csr(request.encode())
        if existing.public_key() == expected.public_key() and existing.subject == expected.subject:
            return False
    except (FileNotFoundError, ValueError):
        pass
    atomic_file.replace_on_fat(path, request.encode())
    return True


def write_scrubbed_settings(boot_mount: Path, scrubbed: bytes) -> None:
    """Put the settings without their secrets in place of those with them, whose bytes are overwritten
    once they are no file any more. Raises OSError.
    """
    path = boot_mount / FILE_NAME
    with path.open("r+b") as old:
        size = os.fstat(old.fileno()).st_size
        atomic_file.replace_on_fat(path, scrubbed)
        old.write(bytes(size))
        old.flush()
        os.fsync(old.fileno())


def read_result(boot_mount: Path) -> str | None:
    """What the laptop is told now; None where nothing is. Raises OSError."""
    try:
        return (boot_mount / RESULT_FILE).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None


def write_result(boot_mount: Path, text: str) -> None:
    """Tell the laptop what came of it. A card is not worn out by saying the same again. Raises OSError."""
    path = boot_mount / RESULT_FILE
    try:
        if path.read_bytes() == text.encode():
            return
    except FileNotFoundError:
        pass
    atomic_file.replace_on_fat(path, text.encode())
