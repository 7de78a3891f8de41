"""The console's texts before a login: greeting, help and how it is provisioned."""

from agent import __version__
from agent.base.message import Message
from agent.console.context import ConsoleContext
from agent.console.terminal import Terminal
from agent.faults.texts import LANGUAGES

NOT_PROVISIONED = Message("Nobody can log in yet: type about for how to provision this console.")


def print_greeting(terminal: Terminal, context: ConsoleContext, *, is_provisioned: bool) -> None:
    """Print the box, its site and the first command to type."""
    terminal.new_page()
    terminal.print(
        "",
        Message(
            "Vigie {version} - box {box} - {site}",
            version=__version__,
            box=context.box_id,
            site=context.site,
        ),
    )
    if is_provisioned:
        terminal.print(Message("Type login and press enter. Type help for the other commands."))
    else:
        terminal.print(NOT_PROVISIONED)


def print_help(terminal: Terminal) -> None:
    """Print the commands that are accepted before a login."""
    terminal.table(
        (
            ("help", Message("this list")),
            ("about", Message("what this box is, and how the console is provisioned")),
            (f"language {', '.join(LANGUAGES)}", Message("the language of this session")),
            ("login NAME", Message("log in: you see a challenge, and type the answer")),
        )
    )
    terminal.print(Message("After the login: status, check, camera, net and more; see help."))


def print_about(terminal: Terminal, context: ConsoleContext, *, is_provisioned: bool) -> None:
    """Print the box, and how to log in or to provision the console."""
    terminal.print(
        Message(
            "Vigie {version}: the agent of a camera box. Box {box}, {site}.",
            version=__version__,
            box=context.box_id,
            site=context.site,
        ),
        Message("Every login and every command is written into the box's signed custody log."),
    )
    if is_provisioned:
        terminal.print(
            Message(
                "To log in: type login and your name. Read the challenge to the office, or "
                "enter it in your token's app, and type the answer. It is valid once."
            )
        )
        return
    terminal.print(
        Message("This console has no secret yet and knows no technician: nobody can log in."),
        Message("Provision it in the workshop, in one of two ways:"),
    )
    terminal.print_hanging(
        "  - ",
        Message(
            "vigie console-code --new FILE makes a secret; put a copy next to the configuration "
            "as console.secret, mode 600, and keep one in the office"
        ),
    )
    terminal.print_hanging(
        "  - ",
        Message("or add a technician's key: [[console.technician]] id, public_key"),
    )
    terminal.print(Message("then log in. See docs/console.md."))
