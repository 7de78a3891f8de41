"""Texts of a configuration: names of cameras, heads, pins, models and technicians, keys, URLs. Pure."""

import re
from collections.abc import Iterable
from pathlib import PurePath
from typing import Annotated

import msgspec

from agent.base.errors import UserError
from agent.base.message import Message

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

CARD_SUFFIX = ".toml"
IDENTIFYING_REFUSAL = Message("identifies people; allowed: models of road users alone")
ModelName = Annotated[
    str,
    msgspec.Meta(
        pattern=rf"^({NAME_PATTERN.pattern}|[^\x00-\x1f\x7f]{{1,1000}}\{CARD_SUFFIX})$(?!\n)",
        extra={"allowed": "the name of a shipped model, or the path of a card *.toml"},
    ),
]

_IDENTIFYING_PREFIXES = ("face", "facial", "plate", "licen", "lpr", "anpr", "alpr")
_CAMEL_CASE_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def is_identifying(name: str) -> bool:
    """Return whether an ONVIF topic or the class of a model identifies people: faces, number plates."""
    return any(
        word.lower().startswith(_IDENTIFYING_PREFIXES) for word in _CAMEL_CASE_WORD.findall(name)
    )


def is_card_path(model: str) -> bool:
    """Return whether a model is named by the path of its card. Others are shipped ones, by their name."""
    return model.endswith(CARD_SUFFIX)


def name_of_model(model: str) -> str:
    """Return the name of a model that is named by itself or by the path of its card."""
    return PurePath(model).stem if is_card_path(model) else model


def refuse_identifying(context: str, names: Iterable[str]) -> None:
    """Raise UserError if the name of a model, a file or a class identifies people."""
    for name in names:
        if is_identifying(name):
            raise UserError(
                Message(
                    "{label}: {problem}", label=f"{context} {name!r}", problem=IDENTIFYING_REFUSAL
                )
            )
