"""What is secret at this box, found and left out wherever it stands in a text. Pure."""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from agent.config.shareable_config import LEFT_OUT

SHORTEST = 4
"""A shorter word is part of others: to leave it out would leave holes, and tell where it is."""

_PEM = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
)
_USER_INFO = re.compile(r"(?<=://)[^\s/@\"']*:[^\s@\"']*@")
_ASSIGNED = re.compile(
    r"((?:pass(?:word|wd|phrase)?|pwd|secret|token|api_?key|pin_?code|credentials?|authorization)"
    r"[\"']?\s*[=:]\s*)(\"[^\"]*\"|'[^']*'|[^\s&;,\"']+)",
    re.IGNORECASE,
)
_BODY_LINE = 20


class Redactor:
    """Leaves out what is known to be secret, and what looks like it. `secrets` are texts; one that is
    among `shown`, such as a user's name that is the box's own, stays.
    """

    def __init__(self, secrets: Iterable[str], shown: Collection[str] = ()) -> None:
        found = {one.strip() for one in secrets} - set(shown)
        # The longest first: one may be part of another.
        self._secrets = sorted(
            (one for one in found if len(one) >= SHORTEST), key=lambda s: -len(s)
        )

    def text(self, text: str) -> str:
        """A text without them."""
        text = _PEM.sub(LEFT_OUT, text)
        for secret in self._secrets:
            text = text.replace(secret, LEFT_OUT)
        text = _USER_INFO.sub(f"{LEFT_OUT}@", text)
        return _ASSIGNED.sub(rf"\1{LEFT_OUT}", text)

    def value(self, value: Any) -> Any:
        """The same of each text in what JSON can say; names of fields are texts too."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.value(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(one) for one in value]
        return value

    def is_in(self, text: str) -> bool:
        """Whether something would be left out."""
        return self.text(text) != text


def of_file(text: str) -> tuple[str, ...]:
    """What is secret in a file of a password or a key: the whole, each line, a key's lines."""
    lines = [line.strip() for line in text.splitlines()]
    if any(line.startswith("-----BEGIN") for line in lines):
        return tuple(
            line for line in lines if not line.startswith("-----") and len(line) >= _BODY_LINE
        )
    return (text, *lines)
