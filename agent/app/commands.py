"""Commands: the dispatcher of the features' handlers, and its requests from programs of the box."""

from collections.abc import Iterable
from functools import partial

from agent.app.box_context import BoxContext
from agent.app.feature import Feature
from agent.app.foundation import Uplink
from agent.commands.command import CommandProgressSink, Deferred, ValidCommand
from agent.commands.dispatcher import CommandDispatcher
from agent.commands.idempotency_store import IdempotencyStore
from agent.commands.local_command import LocalCommand, LocalCommandHandler
from agent.commands.signed_command import CommandAuthenticator
from agent.config.control import ControlConfig
from agent.runtime.control_socket import ControlSocket

COMMANDS_DB = "commands.db"


def make_dispatcher(
    control: ControlConfig, box: BoxContext, uplink: Uplink, features: Iterable[Feature]
) -> CommandDispatcher:
    """Return the dispatcher of all handlers; commands that an earlier run has accepted continue."""
    features = tuple(features)
    handlers = [handler for feature in features for handler in feature.handlers]
    authenticator = None
    if uplink.authority is not None:
        authenticator = CommandAuthenticator(uplink.authority, control, box.id, handlers, box.clock)
    dispatcher = CommandDispatcher(
        handlers,
        IdempotencyStore(box.state_dir / COMMANDS_DB, box.clock, box.faults),
        box.clock,
        authenticator,
    )

    def resume(command: ValidCommand, deferred: Deferred) -> CommandProgressSink:
        send_reply = partial(uplink.publisher.publish_reply, address=command.reply_address)
        return dispatcher.resume(command, send_reply, deferred)

    for feature in features:
        if feature.resume is not None:
            feature.resume(resume)
    return dispatcher


def serve_local_commands(
    box: BoxContext, dispatcher: CommandDispatcher, control_socket: ControlSocket
) -> None:
    """Add the control socket's method `command`."""
    local_commands = LocalCommandHandler(dispatcher.submit_local, box.clock, box.new_id)
    control_socket.add_method(LocalCommand, local_commands.handle)
