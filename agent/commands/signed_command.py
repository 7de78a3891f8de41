"""Signed commands: a person's signature over box, id, times, verb and arguments, verified on the box.

Name and role of the requester come from the certificate, never from the message.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec

from agent.authority.control_authority import ControlAuthority, SignedMessage
from agent.authority.freshness import check_freshness
from agent.authority.refusal import RefusalReason, RefusedMessage
from agent.authority.signed_message import read_unverified_claims
from agent.base import checked_convert
from agent.base.clock import Clock
from agent.base.errors import UserError
from agent.base.model import RefusalCode
from agent.commands.command import (
    MAX_EXPIRY_S,
    CommandHandler,
    CommandId,
    MalformedCommand,
    UnacceptableCommand,
    ValidCommand,
    add_args,
    command_digest,
    id_of_command,
    read_command_id,
    truncate,
)
from agent.commands.requester import CommandRejected, requester_of_certificate
from agent.config.control import TWO_PERSON_ACTIONS, ControlConfig
from agent.config.names import Name

MAX_SIGNED_COMMAND_BYTES = 32_768
"""A command of MAX_COMMAND_BYTES in base64, and two certificates."""


class CommandClaims(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The fields of every signed command, in addition to `args`, which depend on the verb.

    `box` and `verb` are those of the topic. `id` names this command: a second one of the same id is a repeat, gets the
    same reply, and is not done again. `issued` and `expires` are RFC 3339, at most an hour apart. `session` is that of
    the box's birth; it has to be given if the box's clock is not synchronised.
    """

    box: Name
    id: CommandId
    issued: Annotated[datetime, msgspec.Meta(tz=True)]
    expires: Annotated[datetime, msgspec.Meta(tz=True)]
    verb: str
    session: Annotated[int, msgspec.Meta(ge=1, le=2**53)] | None = None


def build_claims_struct(verb: str, args_type: Any) -> type[CommandClaims]:
    """Return the struct of a verb's signed claims: the common fields, and `args` of that type."""
    return add_args(CommandClaims, "Claims", verb, args_type)


class CommandAuthenticator:
    """Verifies signed commands of one box, and the permissions of their signers. Thread-safe."""

    def __init__(
        self,
        authority: ControlAuthority,
        control: ControlConfig,
        box: str,
        handlers: Sequence[CommandHandler],
        clock: Clock,
    ) -> None:
        self._authority = authority
        self._control = control
        self._box = box
        self._clock = clock
        self._claims_structs = {
            handler.command.verb: build_claims_struct(handler.command.verb, handler.command.args)
            for handler in handlers
        }

    def open_command(
        self, handler: CommandHandler, payload: bytes, arrival_number: int
    ) -> ValidCommand:
        """Return the command of a signed message whose signers may give it.

        How old it is is checked when it begins, so that a repeat is answered whenever it comes. Raises:
        UnacceptableCommand.
        """
        context = f"command {handler.command.verb}"
        try:
            message = self._authority.verify(
                payload,
                "vigie-command+jws",
                max_bytes=MAX_SIGNED_COMMAND_BYTES,
                needs_revocations=False,
            )
        except RefusedMessage as refusal:
            code: RefusalCode = (
                "malformed" if refusal.reason in ("malformed", "too_large") else "unauthenticated"
            )
            raise UnacceptableCommand(
                code, truncate(f"{context}: {refusal}"), read_signed_id(payload)
            ) from refusal
        command = self._parse_claims(handler, message, arrival_number)
        self._check_permission(handler, command)
        return command

    def check_freshness(self, command: ValidCommand, present_session: int | None) -> None:
        """Raise CommandRejected unless the command was issued now, or for the present connection."""
        if command.issued is None:
            return
        try:
            check_freshness(
                issued=command.issued,
                expires=command.expires,
                session=command.session,
                present_session=present_session,
                clock=self._clock,
                max_lifetime_s=MAX_EXPIRY_S,
            )
        except RefusedMessage as refusal:
            self._authority.count_refusal(refusal.reason)
            raise CommandRejected("expired", str(refusal)) from refusal

    def _parse_claims(
        self, handler: CommandHandler, message: SignedMessage, arrival_number: int
    ) -> ValidCommand:
        context = f"command {handler.command.verb}"
        command_id = id_of_command(message.claims)
        try:
            claims: Any = checked_convert.convert(
                message.claims, self._claims_structs[handler.command.verb], context
            )
        except UserError as error:
            self._authority.count_refusal("malformed")
            raise MalformedCommand(truncate(str(error)), command_id) from error
        if claims.box != self._box:
            raise self._misdirected("other_box", handler, "box", claims.box, self._box, command_id)
        if claims.verb != handler.command.verb:
            raise self._misdirected(
                "other_verb", handler, "verb", claims.verb, handler.command.verb, command_id
            )
        signers = tuple(
            requester_of_certificate(signer.name, signer.role) for signer in message.signers
        )
        return ValidCommand(
            arrival_number=arrival_number,
            verb=handler.command.verb,
            id=claims.id,
            requester=signers[0],
            cosigner=signers[1] if len(signers) > 1 else None,
            expires=claims.expires,
            args=claims.args,
            digest=command_digest(handler.command.verb, signers, message.claims["args"]),
            issued=claims.issued,
            session=claims.session,
        )

    def _misdirected(
        self,
        reason: RefusalReason,
        handler: CommandHandler,
        field: str,
        value: str,
        allowed: str,
        command_id: str | None,
    ) -> UnacceptableCommand:
        self._authority.count_refusal(reason)
        message = f"command {handler.command.verb}: {field} = {value!r}; allowed here: {allowed!r}"
        return UnacceptableCommand("unauthenticated", truncate(message), command_id)

    def _check_permission(self, handler: CommandHandler, command: ValidCommand) -> None:
        """Raise UnacceptableCommand unless each signer may give the command, and as many as it needs did."""
        permission = handler.permission(command.args)
        if permission.action != "stop":
            try:
                self._authority.check_revocations()
            except RefusedMessage as refusal:
                raise UnacceptableCommand("unauthenticated", str(refusal), command.id) from refusal
        subject = ", ".join(permission.cameras) or "the box"
        for signer in command.signers:
            role = signer.certificate_role
            if role is None or not self._control.permits(
                role, permission.action, permission.cameras
            ):
                self._authority.count_refusal("wrong_role")
                raise UnacceptableCommand(
                    "forbidden",
                    f"the role {role} of {signer.id!r} does not permit {permission.action!r} on {subject}",
                    command.id,
                )
        if permission.action in TWO_PERSON_ACTIONS and len(command.signers) < 2:  # noqa: PLR2004 - people
            self._authority.count_refusal("wrong_role")
            raise UnacceptableCommand(
                "forbidden",
                f"{permission.action!r} on {subject} needs the signatures of two people",
                command.id,
            )


def read_signed_id(payload: bytes) -> str | None:
    """Return the id of a command that is refused, signed or not, or None if none can be read."""
    claims = read_unverified_claims(payload)
    return read_command_id(payload) if claims is None else id_of_command(claims)
