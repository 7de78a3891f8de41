"""The address and the credentials of an ONVIF device, and its password file."""

import stat
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import msgspec

from drivers.addresses import validate_url
from drivers.errors import DriverError

SERVICE_PATH = "/onvif/device_service"
"""The path at which every ONVIF device answers: ONVIF Core Specification, 5.1.1."""

ALLOWED_URL = "http://HOST[:PORT], without a user name"
Url = Annotated[
    str,
    msgspec.Meta(
        pattern=rf"^https?://[^/@\s]+({SERVICE_PATH})?/?$(?!\n)", extra={"allowed": ALLOWED_URL}
    ),
]
"""`http://HOST[:PORT]`, with or without the path that is the same everywhere."""
Timeout = Annotated[float, msgspec.Meta(ge=0.5, le=20)]

_OTHERS_MODE = stat.S_IRWXG | stat.S_IRWXO


class OnvifAccess(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The address and the credentials of one device.

    `timeout_s` is for each call, and three times that for the first one, which queries the device's
    clock and its services too.
    """

    url: Url
    username: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    password_file: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    timeout_s: Timeout = 2.0

    def __post_init__(self) -> None:
        """Refuse a bad URL, and a user without a password file."""
        validate_url(self.url, "http://HOST[:80]")
        require_both_or_neither(self.username, self.password_file)

    @property
    def host(self) -> str:
        """The host, with the scheme in front if it is https, as the library takes it."""
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        return f"https://{host}" if parts.scheme == "https" else host

    @property
    def port(self) -> int:
        """The port of the URL, or its scheme's."""
        parts = urlsplit(self.url)
        return parts.port or (443 if parts.scheme == "https" else 80)


def require_both_or_neither(username: str | None, password_file: str | None) -> None:
    """Raises: ValueError if one is given without the other."""
    if (username is None) != (password_file is None):
        raise ValueError("username and password_file go together: give both or neither")


def read_password(path: str, display_name: str) -> str:
    """Return the password in a file that only its owner may read, without the line end.

    Raises: DriverError `absent`, which names the file and never its content.
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
