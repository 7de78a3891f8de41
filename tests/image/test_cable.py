"""The technician's console over the second serial port, the agent alive or dead."""

import re

import pytest

from tests.image.box_settings import BOX
from tests.image.cable import ANSWER_S, Cable
from tests.image.guest import Guest

pytestmark = pytest.mark.slow


def test_a_technician_sees_how_the_box_is_and_why_its_agent_is_dead(
    guest: Guest, cable: Cable
) -> None:
    assert BOX in cable.press_enter(ANSWER_S)
    cable.log_in()
    status = cable.type("status")
    assert re.search(r"Camera north +[\d.]+ pictures/s", status), status
    assert re.search(r"Footage north +[\d.]+ [kM]B", status), status
    assert "north" in cable.type("footage")
    checked = cable.type("check 7")
    assert "pass" in checked, checked
    guest.run("systemctl stop vigie-agent.service")
    assert "CLOSED" in cable.type("status")
    assert "Stopped vigie-agent.service" in cable.type("log")


def test_the_console_comes_back_where_it_dies(guest: Guest, cable: Cable) -> None:
    cable.press_enter(ANSWER_S)
    unit = guest.run("systemctl list-units --plain --no-legend 'vigie-console@*' | cut -d' ' -f1")
    guest.run(f"systemctl kill --signal=KILL {unit.strip()}")
    assert BOX in cable.press_enter(ANSWER_S)
