"""Command `renew`: the box's certificate is renewed now, by EST."""

from typing import TypeAlias

import msgspec

from agent.commands.command import CommandProgressSink, Deferred, QueuedCommandHandler, ValidCommand
from agent.commands.permission import Permission
from agent.commands.requester import CommandRejected
from agent.reporting.renewal.renewed import RenewalFailed, RenewedCertificate, RequestRenewal

VERB = "renew"
TIMEOUT_S = 120.0
"""Longer than one that has begun and this one, with all their time-outs."""


class RenewArgs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """No arguments."""


Args: TypeAlias = RenewArgs
Result: TypeAlias = RenewedCertificate


class RenewCommandHandler(QueuedCommandHandler):
    """Handles `renew`; see `agent.commands.command.CommandHandler`. `request` is None without `[renewal]`."""

    name = VERB
    args_type = Args

    def __init__(self, request: RequestRenewal | None) -> None:
        self._request = request

    def describe(self, args: RenewArgs) -> str:
        """Return what is renewed."""
        return "the certificate"

    def is_idempotent(self, args: RenewArgs) -> bool:
        """Return True: a second renewal does no harm."""
        return True

    def permission(self, args: RenewArgs) -> Permission:
        """Return `maintain`."""
        return Permission(action="maintain")

    def run(self, command: ValidCommand, progress_sink: CommandProgressSink) -> Deferred:
        """Request the renewal. Raises: CommandRejected."""
        if self._request is None:
            raise CommandRejected(
                "unsupported", "[renewal]: missing in the configuration; allowed: an EST server"
            )

        def on_end(outcome: RenewedCertificate | RenewalFailed) -> None:
            progress_sink.finish(lambda: _result(outcome))

        if not self._request(command.requester.id, on_end):
            raise CommandRejected("busy", "another renewal waits")
        return Deferred(timeout_s=TIMEOUT_S)


def _result(outcome: RenewedCertificate | RenewalFailed) -> RenewedCertificate:
    if isinstance(outcome, RenewalFailed):
        raise CommandRejected("failed", str(outcome))
    return outcome
