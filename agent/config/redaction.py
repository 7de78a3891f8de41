"""Redact the secrets of this box in texts. Pure."""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from agent.config.shareable_config import REDACTED

MIN_SECRET_LENGTH = 4
"""A shorter secret is part of ordinary words: redacting those would reveal it."""

_PEM = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
)
_USER_INFO = re.compile(r"(?<=://)[^\s/@\"']*:[^\s@\"']*@")
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
        text = _PEM.sub(REDACTED, text)
        for secret in self._secrets:
            text = text.replace(secret, REDACTED)
        text = _USER_INFO.sub(f"{REDACTED}@", text)
        return _ASSIGNMENT.sub(rf"\1{REDACTED}", text)

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
