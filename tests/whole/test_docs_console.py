"""docs/console.md: its transcript equals the console's output, and it names every command."""

import re
from pathlib import Path

from agent.capture.lens_aim import ASCII_RAMP
from agent.console.config_edit import EDITABLE_KEYS
from agent.console.serve import COMMANDS
from tests.whole.rig import AgentBox, RunningCentre
from tests.whole.technician import LOGGED_OUT_PROMPT, ConsoleTechnician, write_console_secret

PAGE = (Path(__file__).parents[2] / "docs" / "console.md").read_text()
PROMPT = "casa-0001> "
DARK = """
[[camera]]
name = "yard"
driver = "v4l2"
options = { device = "/dev/v4l/by-id/yard" }
detect = { enabled = false }
"""


def test_the_page_quotes_every_commands_help() -> None:
    for command in COMMANDS:
        assert f"| `{command.name}` | {command.help} |" in PAGE, command.name


def test_the_page_has_every_key_that_may_be_set() -> None:
    section = PAGE.partition("## Changing the configuration")[2].partition("```")[0]
    assert set(re.findall(r"`([a-z]+\.[A-Za-z_.]+)`", section)) == {
        one.key for one in EDITABLE_KEYS
    }


def block(name: str) -> list[str]:
    found = re.search(rf"^```text {name}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert found, name
    return found[1].splitlines()


def reported(lines: list[str]) -> list[str]:
    """Without what differs from time to time and from box to box: numbers, names of files, pictures,
    bars; and folded or not.
    """
    kept = [line for line in lines if not line.strip() or set(line) - set(ASCII_RAMP)]
    text = " ".join(" ".join(kept).split())
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID", text)
    text = re.sub(r"Written: .*$", "Written:", text)
    text = re.sub(r"\[[#.|]+\]", "[BAR]", text)
    text = re.sub(r" level .* glass .*$", " level glass", text)
    text = re.sub(r"\d+([.:,]\d+)*", "0", text)
    return text.split()


def test_the_transcript_matches_a_technicians_screen(box: AgentBox, centre: RunningCentre) -> None:
    assert centre
    toml = box.folder / "vigie.toml"
    toml.write_text(toml.read_text() + DARK)
    write_console_secret(box.folder)
    box.start()
    seat = ConsoleTechnician(box.folder)
    try:
        seat.log_in()
        while "pass camera north" not in seat.run_command(
            "check 6"
        ) or "CAM-01" not in seat.run_command("check 6"):
            assert seat.process.poll() is None
        message(seat, block("transcript"), 8)
        seat.answer_challenge()
        message(seat, block("french"), 4)
    finally:
        seat.unplug()


def message(seat: ConsoleTechnician, lines: list[str], commands: int) -> None:
    begins = [at for at, line in enumerate(lines) if line.startswith(PROMPT)]
    assert len(begins) == commands
    for begin, end in zip(begins, [*begins[1:], len(lines)], strict=True):
        command = lines[begin].removeprefix(PROMPT)
        screen = seat.run_command(command)
        assert reported(screen.splitlines()) == reported(lines[begin + 1 : end]), (command, screen)


def test_a_configuration_change_matches_the_page(box: AgentBox, centre: RunningCentre) -> None:
    assert centre
    write_console_secret(box.folder)
    box.start()
    seat = ConsoleTechnician(box.folder)
    try:
        seat.log_in()
        message(seat, block("set"), 2)
    finally:
        seat.unplug()


def test_the_greeting_matches_the_page(box: AgentBox) -> None:
    write_console_secret(box.folder)
    seat = ConsoleTechnician(box.folder)
    try:
        screen = (
            seat.read_until(LOGGED_OUT_PROMPT)
            + "login amina\n"
            + seat.run_command("login amina", "Answer: ")
        )
    finally:
        seat.unplug()
    nonce = re.compile(r"[0-9A-Z]{4}-[0-9A-Z]{4}$", re.MULTILINE)
    shown = nonce.sub("NONCE", "\n".join(block("hello"))).removesuffix("\nAnswer:")
    assert reported(nonce.sub("NONCE", screen).splitlines()) == reported(shown.splitlines())
