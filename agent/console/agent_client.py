"""Commands for the running agent, through its own door."""

import msgspec

from agent.base.model import CommandDone, CommandRefused
from agent.console.errors import ConsoleError
from agent.console.results import Box

REPLY_TIMEOUT_S = 30.0


def run_agent_command(box: Box, verb: str, args: object) -> msgspec.Raw:
    """The result of a command. Raises ConsoleError where it is not done, and says why."""
    for reply in box.send_command(verb, args, REPLY_TIMEOUT_S):
        if isinstance(reply, CommandRefused):
            raise ConsoleError(f"not done ({reply.code}): {reply.message}")
        if isinstance(reply, CommandDone):
            return reply.result
    raise ConsoleError("the agent gave no answer")
