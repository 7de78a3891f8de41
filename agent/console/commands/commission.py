"""`commission`: confirm part by part that the box is installed well; what has changed since."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from agent.base.message import Message, Text
from agent.commands.command import NoArguments
from agent.console.acts.act import call_at_console
from agent.console.arguments import usage_error
from agent.console.commands.camera import print_picture
from agent.console.console_command import ConsoleCommand, always
from agent.console.context import ConsoleContext
from agent.console.terminal import Terminal
from drivers.media import Plane

if TYPE_CHECKING:
    from agent.diagnostics.commissioning.certificate import ItemAnswer

_TEXT_ROWS = 4


def run(terminal: Terminal, context: ConsoleContext, argv: Sequence[str]) -> None:
    """Commission the box, or compare it with its newest record."""
    # Imported here: OpenCV and the models come with it.
    from agent.console.acts.commissioning import commission_compare  # noqa: PLC0415
    from agent.diagnostics.commissioning import session as commissioning  # noqa: PLC0415
    from agent.diagnostics.commissioning.certificate import (  # noqa: PLC0415
        SHOWN_ITEMS,
        parse_answer,
    )

    def ask(item: "ItemAnswer", finding: Text, picture: Plane | None) -> "ItemAnswer":
        if picture is not None and item.item in SHOWN_ITEMS:
            terminal.new_page()
            print_picture(terminal, picture, _TEXT_ROWS)
        if item.item == "focus" and not item.is_judged:
            finding = Message(
                "{finding}; judged after: camera {name} focus", finding=finding, name=item.subject
            )
        terminal.print(Message("{item}: {finding}", item=item.title, finding=finding))
        if item.is_judged:
            terminal.print(Message("  pass") if item.good else Message("  FAIL"))
            return item
        while (answer := parse_answer(item, terminal.read_line(Message("  good? ")))) is None:
            terminal.print(Message("  allowed: y, or n and a reason"))
        return answer

    if list(argv) not in ([], ["compare"]):
        raise usage_error(("commission", *argv), "commission", "commission compare")
    if argv:
        terminal.print(Message("This takes pictures."))
        terminal.print(*commission_compare(call_at_console(context), NoArguments()).lines)
    else:
        session = commissioning.CommissioningSession(
            context.config_path, context.clock, context.technician
        )
        terminal.print(Message("This takes pictures. Answer y, or n and why. Ctrl-C cancels."))
        result = session.commission(ask, None, context.best_focus)
        terminal.print(*commissioning.format_result(result))


COMMISSION = ConsoleCommand(
    name="commission",
    help=Message("confirm part by part that it is installed well; changes since then"),
    usage=(
        ("commission", Message("show each part, ask whether it is good, and sign a record")),
        ("commission compare", Message("the differences from the newest record")),
    ),
    run=run,
    needs_receipt=always,
)
