"""`mqtt ping`: connect to the broker as the agent does, and time its answers."""

from collections.abc import Sequence

from agent.base.message import Message
from agent.console.acts.act import call_at_console
from agent.console.acts.link import DEFAULT_PINGS, MAX_PINGS, PingArgs, mqtt_ping
from agent.console.arguments import parse_int, usage_error
from agent.console.check_result import print_results
from agent.console.console_command import ConsoleCommand
from agent.console.context import ConsoleContext
from agent.console.terminal import Terminal


def run(terminal: Terminal, context: ConsoleContext, argv: Sequence[str]) -> None:
    """Ping the broker; if the agent's certificate allows one session only, show the agent's."""
    if not argv or argv[0] != "ping" or len(argv) > 2:  # noqa: PLR2004 - ping TIMES
        raise usage_error(("mqtt", *argv), "mqtt ping [TIMES]")
    count = parse_int(argv[1], 1, MAX_PINGS) if len(argv) > 1 else DEFAULT_PINGS
    if count is None:
        raise usage_error(("mqtt", *argv), Message("1 to {max_count} times", max_count=MAX_PINGS))
    for result in mqtt_ping(call_at_console(context), PingArgs(count=count)).values:
        print_results(terminal, (result,))


MQTT = ConsoleCommand(
    name="mqtt",
    help=Message("mqtt ping: connect to the broker as the agent does, and time it"),
    usage=(
        (
            "mqtt ping [TIMES]",
            Message(
                "1 to {max_count} round trips (default {default_count})",
                max_count=MAX_PINGS,
                default_count=DEFAULT_PINGS,
            ),
        ),
    ),
    run=run,
)
