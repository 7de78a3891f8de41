"""Refusals of commands: each names its command, if that has a readable id. Pure."""

from agent.base.model import CommandRefused, IncomingCommand, RefusalCode
from agent.commands.command import UnacceptableCommand, ValidCommand, truncate
from agent.commands.idempotency_store import IdempotencyStoreError
from drivers.errors import DriverError

_CODE_OF_DRIVER_ERROR: dict[str, RefusalCode] = {
    "absent": "unavailable",
    "closed": "unavailable",
    "timeout": "unavailable",
    "stuck": "unavailable",
    "busy": "busy",
    "unsupported": "unsupported",
}


def refuse(command: ValidCommand, code: RefusalCode, message: str) -> CommandRefused:
    """Return the refusal of a command."""
    return CommandRefused(command=command.id, verb=command.verb, code=code, message=message)


def refuse_at_arrival(incoming: IncomingCommand, error: UnacceptableCommand) -> CommandRefused:
    """Return the refusal of a command that is not queued."""
    return CommandRefused(
        command=error.command_id,
        verb=truncate(incoming.verb),
        code=error.code,
        message=str(error),
    )


def refuse_reused_id(command: ValidCommand) -> CommandRefused:
    """Return the refusal of a command with another command's id."""
    message = f"the id {command.id!r} was that of another command; allowed: an id of its own"
    return refuse(command, "malformed", message)


def refuse_driver_error(command: ValidCommand, error: DriverError) -> CommandRefused:
    """Return the refusal of a command that a device did not do."""
    return refuse(command, _CODE_OF_DRIVER_ERROR.get(error.kind, "failed"), str(error))


def describe_store_error(error: IdempotencyStoreError) -> str:
    """Return why a command that must not be done twice is not begun."""
    return f"it must not be done twice, and its begin cannot be stored: {error}"
