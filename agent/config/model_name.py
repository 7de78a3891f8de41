"""The name of a detection model, and of its classes. Pure."""

from collections.abc import Iterable
from pathlib import PurePath
from typing import Annotated

import msgspec

from agent.base.errors import UserError
from agent.base.message import Message
from agent.config.names import NAME_PATTERN, is_identifying

CARD_SUFFIX = ".toml"
IDENTIFYING_REFUSAL = Message("identifies people; allowed: models of road users alone")
ModelName = Annotated[
    str,
    msgspec.Meta(
        pattern=rf"^({NAME_PATTERN.pattern}|[^\x00-\x1f\x7f]{{1,1000}}\{CARD_SUFFIX})$(?!\n)",
        extra={"allowed": "the name of a shipped model, or the path of a card *.toml"},
    ),
]


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
