"""agent.console.commands.status and `vigie check-config`: a box whose commands are not authenticated says so."""

from pathlib import Path

import pytest

from agent.config_change import config_check
from tests.authority_rig import ControlKeys
from tests.conftest import ManualClock
from tests.parts.console_rig import CONFIG_TEXT, ConsoleRig

WARNING = "Commands of the centre: NOT authenticated, control.ca is not set"


@pytest.mark.parametrize("is_authenticated", [False, True])
def test_status_says_whether_commands_are_not_authenticated(
    is_authenticated: bool, clock: ManualClock, tmp_path: Path
) -> None:
    text = CONFIG_TEXT + ('[control]\nca = "control-ca.pem"\n' if is_authenticated else "")
    rig = ConsoleRig(clock, tmp_path, config_text=text)
    screen = " ".join(rig.run_logged_in("status").split())
    assert (WARNING in screen) == (not is_authenticated)


def test_check_config_reads_the_authorities(clock: ManualClock, tmp_path: Path) -> None:
    file = tmp_path / "vigie.toml"
    file.write_text(
        '[box]\nid = "pole-17"\nsite = "corner"\n[broker]\nurl = "mqtt://127.0.0.1"\n'
        '[[camera]]\nname = "north"\ndriver = "fake"\n[control]\nca = "control-ca.pem"\n'
    )
    (problem,) = config_check.find_problems(file, clock)
    assert str(problem).startswith("control.ca = ")
    ControlKeys().write_ca(tmp_path)
    assert config_check.find_problems(file, clock) == []
