"""What is secret at this box, found and left out wherever it stands in a text. Pure."""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from agent.config.shareable_config import REDACTED

MIN_SECRET_LENGTH = 4
"""A shorter word is part of others: to leave it out would leave holes, and tell where it is."""

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
    """Leaves out what is known to be secret, and what looks like it. `secrets` are texts; one that is
    among `shown`, such as a user's name that is the box's own, stays.
    """

    def __init__(self, secrets: Iterable[str], public: Collection[str] = ()) -> None:
        unique = {secret.strip() for secret in secrets} - set(public)
        # The longest first: one may be part of another.
        self._secrets = sorted(
            (secret for secret in unique if len(secret) >= MIN_SECRET_LENGTH), key=lambda s: -len(s)
        )

    def redact_text(self, text: str) -> str:
        """A text without them."""
        text = _PEM.sub(REDACTED, text)
        for secret in self._secrets:
            text = text.replace(secret, REDACTED)
        text = _USER_INFO.sub(f"{REDACTED}@", text)
        return _ASSIGNMENT.sub(rf"\1{REDACTED}", text)

    def redact(self, value: Any) -> Any:
        """The same of each text in what JSON can say; names of fields are texts too."""
        if isinstance(value, str):
            return self.redact_text(value)
        if isinstance(value, Mapping):
            return {self.redact_text(str(key)): self.redact(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.redact(item) for item in value]
        return value

    def has_secret(self, text: str) -> bool:
        """Whether something would be left out."""
        return self.redact_text(text) != text


def secrets_in_file(text: str) -> tuple[str, ...]:
    """What is secret in a file of a password or a key: the whole, each line, a key's lines."""
    lines = [line.strip() for line in text.splitlines()]
    if any(line.startswith("-----BEGIN") for line in lines):
        return tuple(
            line
            for line in lines
            if not line.startswith("-----") and len(line) >= _MIN_KEY_LINE_LENGTH
        )
    return (text, *lines)
