"""The card's FAT partition, which any laptop can read: settings file, result and certificate request. Only
root reads and writes it.
"""

import os
import stat
from pathlib import Path

from agent.base import atomic_file
from agent.provisioning.settings import FILE_NAME, MAX_SETTINGS_BYTES

RESULT_FILE = "vigie-result.txt"
REQUEST_SUFFIX = ".csr.pem"


def remove_partial_files(boot_mount: Path) -> None:
    """Delete temporary files that a power cut has left. Raises OSError."""
    for partial in boot_mount.glob(f".*{atomic_file.TEMP_SUFFIX}"):
        partial.unlink()


def read_settings(boot_mount: Path) -> bytes | None:
    """Return the settings file, or None if there is none. Reads at most one byte above the limit.

    Raises OSError.
    """
    try:
        fd = os.open(boot_mount / FILE_NAME, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(f"{boot_mount / FILE_NAME}: not a regular file")
    with os.fdopen(fd, "rb") as file:
        return file.read(MAX_SETTINGS_BYTES + 1)


def find_similar_names(boot_mount: Path) -> list[str]:
    """Return names similar to the settings file: laptops hide a file name extension, or add one."""
    try:
        names = sorted(path.name for path in boot_mount.iterdir())
    except OSError:
        return []
    return [name for name in names if "settings" in name.lower() or name.lower().endswith(".toml")]


def write_request(boot_mount: Path, box: str, request: str) -> bool:
    """Write the certificate request; return False if one for this key and name is there already.

    A request for the same key has another text each time, so keys and names are compared. Raises OSError.
    """
    # Imported here: most starts have no request, and the import is slow.
    from agent.base import pem  # noqa: PLC0415

    path = boot_mount / f"{box}{REQUEST_SUFFIX}"
    try:
        if pem.decode_request(path.read_bytes()) == pem.decode_request(request.encode()):
            return False
    except (FileNotFoundError, pem.MalformedCertificate):
        pass
    atomic_file.replace_on_fat(path, request.encode())
    return True


def write_scrubbed_settings(boot_mount: Path, scrubbed: bytes) -> None:
    """Replace the settings file with the one without secrets, then overwrite the blocks of the old file.

    Raises OSError.
    """
    path = boot_mount / FILE_NAME
    with path.open("r+b") as old:
        size = os.fstat(old.fileno()).st_size
        atomic_file.replace_on_fat(path, scrubbed)
        old.write(bytes(size))
        old.flush()
        atomic_file.sync(old.fileno())


def read_result(boot_mount: Path) -> str | None:
    """Return the text of the result file, or None if there is none. Raises OSError."""
    try:
        return (boot_mount / RESULT_FILE).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None


def write_result(boot_mount: Path, text: str) -> None:
    """Write the result file, unless it has this text already, to spare the card. Raises OSError."""
    path = boot_mount / RESULT_FILE
    try:
        if path.read_bytes() == text.encode():
            return
    except FileNotFoundError:
        pass
    atomic_file.replace_on_fat(path, text.encode())
