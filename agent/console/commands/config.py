"""`config`: the configuration without its secrets; a few keys under commit-confirm; the end of the centre's version."""

from collections.abc import Sequence

from agent.base.clock import rfc3339
from agent.base.message import Message
from agent.base.state_file import DamagedStateFile
from agent.commands.command import NoArguments
from agent.config import toml_writer
from agent.config.desired_store import DesiredStore
from agent.config.redaction import redact_config, redact_url
from agent.config.toml_decode import read_toml
from agent.config_change import config_check
from agent.console import agent_process
from agent.console.acts.act import call_at_console
from agent.console.acts.trial import find_trial, trial_confirm, trial_undo
from agent.console.arguments import parse_int, usage_error
from agent.console.console_command import ConsoleCommand
from agent.console.context import ConsoleContext
from agent.console.errors import ConsoleError
from agent.console.terminal import Terminal

DEFAULT_MINUTES, MAX_MINUTES = 5, 60
_MODIFYING = ("set", "confirm", "undo", "reset")


def run(terminal: Terminal, context: ConsoleContext, argv: Sequence[str]) -> None:
    """Print, check or change the configuration."""
    editor = context.config_editor
    match list(argv):
        case [] | ["show"]:
            trial = find_trial(context)
            if trial is not None:
                terminal.print(trial.text)
            _print_version(terminal, context)
            tables = redact_config(read_toml(context.config_path, "configuration"))
            terminal.print(f"# {context.config_path}", *toml_writer.dumps(tables).splitlines())
        case ["check"]:
            problems = config_check.find_problems(context.config_path, context.clock)
            if problems:
                terminal.print(*problems)
            else:
                terminal.print(Message("{path}: valid", path=str(context.config_path)))
        case ["set"]:
            terminal.table(editor.list_keys())
        case ["set", *rest]:
            _set_keys(terminal, context, rest)
        case ["confirm"]:
            terminal.print(trial_confirm(call_at_console(context), NoArguments()).text)
        case ["undo"]:
            terminal.print(trial_undo(call_at_console(context), NoArguments()).text)
        case ["reset"]:
            _reset_version(terminal, context)
        case _:
            raise usage_error(
                ("config", *_redact_args(argv)),
                Message("show, check, set, confirm, undo, reset; see help config"),
            )


def _print_version(terminal: Terminal, context: ConsoleContext) -> None:
    """Print which version of the centre's configuration lies on top of the file."""
    try:
        layer = DesiredStore(context.state_dir).layer()
    except DamagedStateFile:
        terminal.print(Message("The centre's configuration on top of the file is damaged."))
        return
    if layer.version:
        terminal.print(
            Message(
                "On top of the file, from the centre: version {version} by {name}: {keys}",
                version=layer.version,
                name=layer.by,
                keys=", ".join(layer.keys()) or Message("none"),
            )
        )


def _reset_version(terminal: Terminal, context: ConsoleContext) -> None:
    """End the centre's version and forget its number, after a confirmation, with a receipt of the version."""
    _print_version(terminal, context)
    store = DesiredStore(context.state_dir)
    try:
        version = str(store.layer().version)
    except DamagedStateFile:
        version = "damaged"
    if version == "0" and not store.decision().version:
        raise ConsoleError(Message("No version of the centre is in force."))
    question = Message("The centre's version ends, with its masks, scenes and settings.")
    if not terminal.confirm(question, context.box_id):
        terminal.print(Message("Nothing is changed."))
        return
    context.write_receipt(f"config reset confirmed: version {version}")
    store.reset(context.technician, rfc3339(context.clock.utc(context.clock.boottime_ns())))
    terminal.print(Message("The box's own file alone is in force."))
    terminal.print(
        Message("The agent restarts with it now.")
        if agent_process.restart(context.state_dir)
        else Message("The agent does not run just now.")
    )


def _is_modifying(argv: Sequence[str]) -> bool:
    return bool(argv) and argv[0] in _MODIFYING


def _redact_args(argv: Sequence[str]) -> list[str]:
    """Reduce addresses to their hosts: the arguments are stored in a receipt."""
    return [redact_url(word) if "://" in word else word for word in argv]


def _set_keys(terminal: Terminal, context: ConsoleContext, argv: list[str]) -> None:
    minutes = DEFAULT_MINUTES
    if len(argv) > 1 and argv[-2] == "for":
        parsed_minutes = parse_int(argv[-1], 1, MAX_MINUTES)
        if parsed_minutes is None:
            raise usage_error(
                argv[-2:], Message("1 to {max_minutes} minutes", max_minutes=MAX_MINUTES)
            )
        minutes, argv = parsed_minutes, argv[:-2]
    if not argv or len(argv) % 2:
        raise ConsoleError(
            Message("config set: allowed: KEY VALUE in pairs; quote a value with blanks")
        )
    pairs = list(zip(argv[::2], argv[1::2], strict=True))
    terminal.print(Message("Checking the whole new configuration ..."))
    changes = context.config_editor.propose(pairs)
    for change in changes:
        terminal.print(
            Message("{key}: {old} -> {new}", key=change.key, old=change.old, new=change.new)
        )
    agent_restarts = context.config_editor.begin(changes, context.technician, minutes)
    terminal.print(
        Message("The agent restarts with it now.")
        if agent_restarts
        else Message("The agent does not run just now."),
        Message(
            "On trial for {minutes} minutes. See that it works, then type: config confirm",
            minutes=minutes,
        ),
        Message("Otherwise it is undone by itself, also after a logout, a reboot or a power cut."),
    )


CONFIG = ConsoleCommand(
    name="config",
    help=Message("the configuration without secrets; check it; change a few keys"),
    usage=(
        ("config", Message("show it")),
        ("config check", Message("check the file as it is now")),
        ("config set", Message("the keys that may be set here, and their values")),
        (
            "config set KEY VALUE ... [for MINUTES]",
            Message(
                "try other values; the agent restarts, and after {minutes} minutes they are undone by "
                "themselves unless you type config confirm",
                minutes=DEFAULT_MINUTES,
            ),
        ),
        ("config confirm", Message("keep what is on trial")),
        ("config undo", Message("restore the previous configuration at once")),
        ("config reset", Message("end the centre's version: the box's own file alone counts")),
    ),
    run=run,
    needs_receipt=_is_modifying,
    redact_args=_redact_args,
)
