"""`[console]` and `[[console.technician]]`: logins at the box. Pure."""

from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec

from agent.base.message import Message, Text
from agent.config.names import SigningKey, TechnicianName


class Technician(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[console.technician]]`: a technician whose token opens the console. `public_key` is the base64 of an
    Ed25519 public key's 32 bytes.
    """

    id: TechnicianName
    public_key: SigningKey


class ConsoleConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[console]`: logins at the box. With neither a secret file nor technicians no login is possible."""

    secret_file: Annotated[str, msgspec.Meta(min_length=1)] = "console.secret"  # noqa: S105 - a file
    technician: Annotated[tuple[Technician, ...], msgspec.Meta(max_length=64)] = ()
    idle_logout_s: Annotated[float, msgspec.Meta(ge=30, le=3600)] = 600.0
    language: Literal["en", "fr", "ar"] = "en"


def iter_conflicts(console: ConsoleConfig, context: str) -> Iterator[Text]:
    """Yield a line for each technician with the id of another: receipts name a person by it."""
    ids = [technician.id for technician in console.technician]
    for index, technician_id in enumerate(ids):
        if technician_id in ids[:index]:
            yield (
                Message(
                    "{label}: used by console.technician[{other}] already; allowed: an id of its own for each technician",
                    label=f"{context}: console.technician[{index}].id = {technician_id!r}",
                    other=ids.index(technician_id),
                )
            )
