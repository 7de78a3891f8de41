"""Redact secrets: a configuration for display and support, of which only known harmless values stay, and texts. Pure.

Of a configuration numbers and booleans stay. Texts stay only if their key is listed here; of a URL the host stays. So a new,
misspelt or driver-specific key shows nothing until it is listed.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

REDACTED = "(left out)"
_MAX_TEXT_LENGTH = 200

SHAREABLE_KEYS = frozenset(
    {
        "box.id",
        "box.site",
        "box.groups",
        "box.state",
        "box.time_zone",
        "broker.ca",
        "broker.certificate",
        "broker.ack",
        "control.ca",
        "control.permission.role",
        "control.permission.actions",
        "control.permission.cameras",
        "link.ca",
        "link.upload_hosts",
        "record.recipient.id",
        "record.recipient.public_key",
        "declaration.controller",
        "declaration.contact",
        "declaration.cndp_receipt",
        "declaration.rights_contact",
        "declaration.purposes.*",
        "hold.kinds",
        "camera.name",
        "camera.driver",
        "camera.projection",
        "camera.options.camera",
        "camera.options.projection",
        "camera.options.device",
        "camera.options.path",
        "camera.options.pace",
        "camera.options.codec",
        "camera.options.transport",
        "camera.options.format",
        "camera.detect_options.device",
        "camera.detect_options.path",
        "camera.detect_options.codec",
        "camera.detect_options.transport",
        "camera.detect_options.format",
        "camera.detect.model",
        "camera.detect.accelerator.model",
        "camera.detect.accelerator.sha256",
        "camera.detect.accelerator.file",
        "camera.detect.scene",
        "camera.detect.scenes.*",
        "camera.onvif.events",
        "camera.institution.owner",
        "camera.institution.purpose",
        "head.name",
        "head.driver",
        "head.camera",
        "head.options.device",
        "head.options.port",
        "head.options.model",
        "head.tour.name",
        "head.tour.stop.preset",
        "gpio.driver",
        "gpio.options.chip",
        "pin.name",
        "pin.kind",
        "pin.pull",
        "console.language",
        "console.technician.id",
        "console.technician.public_key",
    }
)
"""Keys of texts that stay, without the indexes of tables in a list. `*` is any one key. The path of a secret
is not listed: the secret itself may have been entered there by mistake."""

URL_KEYS = frozenset(
    {
        "broker.url",
        "broker.standby_urls",
        "renewal.url",
        "camera.options.url",
        "camera.detect_options.url",
        "camera.onvif.url",
        "head.options.url",
    }
)
"""Only the host of these stays: cameras take passwords in paths and queries too."""

_URL_SEPARATORS = re.compile(r"[/?&;=]+")
_HOST = re.compile(r"[A-Za-z0-9.:\[\]_-]+")


_COMMON_WORDS = frozenset(
    {"main", "stream", "channel", "channels", "live", "video", "media", "profile"}
)
"""Words of many URLs, and of the journal."""


def redact_config(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tables with all other values redacted."""
    return {key: _redact_value(value, key) for key, value in tables.items()}


def redacted_texts(tables: Mapping[str, Any]) -> Iterator[str]:
    """Yield the texts that `redact_config` removes, to redact them elsewhere too."""
    yield from _redacted_texts(tables, redact_config(tables))


def _redacted_texts(original: Any, redacted: Any) -> Iterator[str]:
    if isinstance(original, Mapping):
        for key, value in original.items():
            yield from _redacted_texts(value, redacted[key])
    elif isinstance(original, list):
        for item, redacted_item in zip(original, redacted, strict=True):
            yield from _redacted_texts(item, redacted_item)
    elif isinstance(original, str) and original != redacted:
        yield original
        yield from (part for part in _secret_parts(original) if part not in _COMMON_WORDS)


def _secret_parts(text: str) -> Iterator[str]:
    """Yield parts of a text that may appear elsewhere: of a URL its user, its password and the words of its
    path and query; the lines of a longer text.
    """
    yield from text.splitlines()[1:]
    try:
        url = urlsplit(text)
    except ValueError:
        return
    if url.netloc:
        yield from url.netloc.rpartition("@")[0].split(":")
        yield from _URL_SEPARATORS.split(f"{url.path}?{url.query}")


def _redact_value(value: Any, key_path: str) -> Any:
    if isinstance(value, Mapping):
        return {key: _redact_value(item, f"{key_path}.{key}") for key, item in value.items()}
    if isinstance(value, list):
        return [_redact_value(item, key_path) for item in value]
    if isinstance(value, str):
        return _redact_text(value, key_path)
    if isinstance(value, bool | int | float):
        # A number under such a key may be a PIN.
        return REDACTED if _is_secret_key(key_path) else value
    return REDACTED


def _redact_text(value: str, key_path: str) -> str:
    if key_path in URL_KEYS:
        return redact_url(value)
    wildcard_path = key_path.rpartition(".")[0] + ".*"
    is_harmless = (
        value.isprintable() and len(value) <= _MAX_TEXT_LENGTH and "PRIVATE KEY" not in value
    )
    if (
        (key_path in SHAREABLE_KEYS or wildcard_path in SHAREABLE_KEYS)
        and is_harmless
        and "@" not in value
    ):
        return value
    return REDACTED


def redact_url(address: str) -> str:
    """Return scheme, host and port of a URL."""
    try:
        url = urlsplit(address)
        port = f":{url.port}" if url.port else ""
        host = url.hostname or ""
    except ValueError:
        return REDACTED
    if not _HOST.fullmatch(host) or not re.fullmatch(r"[a-z]{1,8}", url.scheme):
        return REDACTED
    base_url = f"{url.scheme}://{host}{port}"
    return base_url if address.rstrip("/") == base_url else f"{base_url}/{REDACTED}"


_SECRET_KEY = re.compile(r"pass|secret|token|credential|private|pin_?code|psk|auth")


def _is_secret_key(key_path: str) -> bool:
    return bool(_SECRET_KEY.search(key_path.rpartition(".")[2].lower()))


MIN_SECRET_LENGTH = 4
"""A shorter secret is part of ordinary words: redacting those would reveal it."""

_PEM = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
)
_USER_INFO = re.compile(r"(?<=://)(?:[^\s/@\"']*:[^\s@\"']*|[^\s/@\"']+)@")
_ASSIGNMENT = re.compile(
    r"((?:pass(?:word|wd|phrase)?|pwd|secret|token|api_?key|pin_?code|credentials?|authorization)"
    r"[\"']?\s*[=:]\s*)(\"[^\"]*\"|'[^']*'|[^\s&;,\"']+)",
    re.IGNORECASE,
)
_MIN_KEY_LINE_LENGTH = 20


class Redactor:
    """Redacts known secrets, and texts that look like one. A secret that is also in `public`, such as a user
    name equal to the box's, stays.
    """

    def __init__(self, secrets: Iterable[str], public: Collection[str] = ()) -> None:
        unique = {secret.strip() for secret in secrets} - set(public)
        # The longest first: one may be part of another.
        self._secrets = sorted(
            (secret for secret in unique if len(secret) >= MIN_SECRET_LENGTH), key=lambda s: -len(s)
        )

    def redact_text(self, text: str) -> str:
        """Redact a text."""
        text = self.redact_known(_PEM.sub(REDACTED, text))
        return _ASSIGNMENT.sub(rf"\1{REDACTED}", text)

    def redact_known(self, text: str) -> str:
        """Redact the known secrets, and users and passwords of URLs, in a sentence that may be about a password."""
        for secret in self._secrets:
            text = text.replace(secret, REDACTED)
        return _USER_INFO.sub(f"{REDACTED}@", text)

    def redact(self, value: Any) -> Any:
        """Redact every text in a JSON value, names of fields included."""
        if isinstance(value, str):
            return self.redact_text(value)
        if isinstance(value, Mapping):
            return {self.redact_text(str(key)): self.redact(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.redact(item) for item in value]
        return value

    def has_secret(self, text: str) -> bool:
        """Return whether a text would be changed."""
        return self.redact_text(text) != text


def secrets_in_file(text: str) -> tuple[str, ...]:
    """Return the secrets in the file of a password or a key: the whole text and each line."""
    lines = [line.strip() for line in text.splitlines()]
    if any(line.startswith("-----BEGIN") for line in lines):
        return tuple(
            line
            for line in lines
            if not line.startswith("-----") and len(line) >= _MIN_KEY_LINE_LENGTH
        )
    return (text, *lines)


def iter_secrets(table: object) -> Iterator[str]:
    """Yield each secret in nested tables of files of passwords and keys, valid or not."""
    if isinstance(table, Mapping):
        for item in table.values():
            yield from iter_secrets(item)
    elif isinstance(table, list):
        for item in table:
            yield from iter_secrets(item)
    elif table is not None:
        yield from secrets_in_file(str(table))
