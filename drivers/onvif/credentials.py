"""Where an ONVIF device is, and who asks it; and the file that a password is read from."""

import stat
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import msgspec

from drivers.addresses import validate_url
from drivers.errors import DriverError

SERVICE_PATH = "/onvif/device_service"
"""The path at which every ONVIF device answers: ONVIF Core Specification, 5.1.1."""

Url = Annotated[str, msgspec.Meta(pattern=rf"^https?://[^/@\s]+({SERVICE_PATH})?/?$(?!\n)")]
"""`http://HOST[:PORT]`, with or without the path that is the same everywhere."""
Timeout = Annotated[float, msgspec.Meta(ge=0.5, le=20)]

_OTHERS_MODE = stat.S_IRWXG | stat.S_IRWXO


class OnvifAccess(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one device is reached. `timeout_s` is for each call, and thrice that for the first one,
    which asks for the device's clock and its services too.
    """

    url: Url
    username: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    password_file: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    timeout_s: Timeout = 2.0

    def __post_init__(self) -> None:
        """Refuse what no single field can tell."""
        validate_url(self.url, "http://HOST[:80]")
        require_both_or_neither(self.username, self.password_file)

    @property
    def host(self) -> str:
        """With the scheme in front where it is https: as the library takes it."""
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        return f"https://{host}" if parts.scheme == "https" else host

    @property
    def port(self) -> int:
        """That of the address, or its scheme's."""
        parts = urlsplit(self.url)
        return parts.port or (443 if parts.scheme == "https" else 80)


def require_both_or_neither(username: str | None, password_file: str | None) -> None:
    """Raise ValueError where one is given without the other."""
    if (username is None) != (password_file is None):
        raise ValueError("username and password_file go together: give both or neither")


def read_password(path: str, display_name: str) -> str:
    """The password in a file that only its owner may read, without the line's end.

    Raises DriverError `absent`, which names the file and never what is in it.
    """
    try:
        mode = stat.S_IMODE(Path(path).stat().st_mode)
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        message = f"{display_name}: password_file {path!r} cannot be read"
        raise DriverError("absent", message) from error
    if mode & _OTHERS_MODE:
        raise DriverError(
            "absent",
            f"{display_name}: password_file {path!r} has mode {mode:04o}: others may read it; "
            "allowed: 0600 or less",
        )
    return text.rstrip("\r\n")
