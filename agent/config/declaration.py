"""`[declaration]` of the configuration: what a sign at the box has to say, and only its operator knows."""

from collections.abc import Iterator
from typing import Annotated

import msgspec

from agent.config.names import HttpsUrl

DeclaredText = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[^\x00-\x1f\x7f]{1,300}$(?!\n)",
        extra={"allowed": "one line of 1 to 300 characters"},
    ),
]


class PurposesConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[declaration.purposes]`: the purposes of the cameras, in each language of the page."""

    fr: DeclaredText | None = None
    ar: DeclaredText | None = None
    en: DeclaredText | None = None


class DeclarationConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[declaration]`: the controller, its contact, and the contact for the rights of data subjects.

    `cndp_receipt` is the number of the declaration's receipt or of the authorization, `page` the address of the whole
    declaration. A key that is left out is declared as missing.
    """

    controller: DeclaredText | None = None
    contact: DeclaredText | None = None
    cndp_receipt: DeclaredText | None = None
    rights_contact: DeclaredText | None = None
    page: HttpsUrl | None = None
    purposes: PurposesConfig = PurposesConfig()


def iter_missing(declaration: DeclarationConfig) -> Iterator[str]:
    """Yield the keys that are left out."""
    for name in declaration.__struct_fields__:
        value = getattr(declaration, name)
        if isinstance(value, PurposesConfig):
            yield from (
                f"declaration.purposes.{language}"
                for language in value.__struct_fields__
                if getattr(value, language) is None
            )
        elif value is None:
            yield f"declaration.{name}"
