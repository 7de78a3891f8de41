"""Command `renew`: the box's certificate is renewed now, by EST."""

from agent.commands.command import (
    CommandHandler,
    CommandProgressSink,
    CommandType,
    Deferred,
    NoArguments,
    ValidCommand,
    always,
)
from agent.commands.requester import CommandRejected
from agent.reporting.renewal.renewed import RenewalFailed, RenewedCertificate, RequestRenewal

TIMEOUT_S = 120.0
"""Longer than one that has begun and this one, with all their time-outs."""


COMMAND = CommandType(
    verb="renew",
    args=NoArguments,
    result=RenewedCertificate,
    summary="a new certificate, by EST",
    actions=("maintain",),
    describe=lambda _args: "the certificate",
    is_idempotent=always,
    examples=(NoArguments(),),
    result_examples=(
        RenewedCertificate(
            not_before="2026-11-03T07:40:05.000Z",
            not_after="2027-02-01T07:40:05.000Z",
            serial="5f1c0a9b",
            issuer="CN=Vigie authority",
        ),
    ),
)


class RenewCommandHandler(CommandHandler):
    """Handles `renew`. `request` is None without `[renewal]`."""

    command = COMMAND

    def __init__(self, request: RequestRenewal | None) -> None:
        self._request = request

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
