"""Texts of a configuration: names of cameras, heads, pins and technicians, keys, URLs."""

import re
from typing import Annotated

import msgspec

ALLOWED_NAME = "lower case letters, digits, '-' and '_', at most 63; first a letter or a digit"
NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
Name = Annotated[
    str,
    msgspec.Meta(pattern=rf"^{NAME_PATTERN.pattern}$(?!\n)", extra={"allowed": ALLOWED_NAME}),
]
"""A name used in topics, folder names and commands: lower case, digits, `-` and `_`.

As in every pattern, `(?!\\n)` follows the `$`, which in Python also matches before a final line break. JSON Schema
has no such exception and does not know Python's `\\Z`.
"""

CaseText = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(?=.*[^ ])[^\x00-\x1f\x7f]{1,100}$(?!\n)",
        extra={"allowed": "one line of 1 to 100 characters, not all of them spaces"},
    ),
]
"""The reference of a case, or a reason, as a requester writes it."""

TECHNICIAN_NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")
TechnicianName = Annotated[
    str,
    msgspec.Meta(
        pattern=rf"^{TECHNICIAN_NAME_PATTERN.pattern}$(?!\n)",
        extra={
            "allowed": "lower case letters, digits, '.', '-' and '_', at most 32; first a letter or a digit"
        },
    ),
]
"""A technician's name, as typed at the console's login and written into receipts."""

SigningKey = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[A-Za-z0-9+/]{43}=$(?!\n)",
        extra={"allowed": "the base64 of an Ed25519 public key's 32 bytes, 44 characters"},
    ),
]
HttpsUrl = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^https://[^\s@]+$(?!\n)",
        max_length=2000,
        extra={"allowed": "https://HOST/PATH, without a user name"},
    ),
]

_IDENTIFYING_PREFIXES = ("face", "facial", "plate", "licen", "lpr", "anpr", "alpr")
_CAMEL_CASE_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def is_identifying(name: str) -> bool:
    """Return whether an ONVIF topic or the class of a model identifies people: faces, number plates."""
    return any(
        word.lower().startswith(_IDENTIFYING_PREFIXES) for word in _CAMEL_CASE_WORD.findall(name)
    )
