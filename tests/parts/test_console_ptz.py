"""`ptz` at the console: presets by name, degrees, and refusals that name what is allowed."""

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from agent.base.errors import UserError
from agent.commands.local_command import run_command
from agent.gpio.gpio_command import GpioResult
from agent.ptz.ptz_args import (
    HeadInfo,
    HeadPosition,
    PtzDeletePresetArgs,
    PtzGotoArgs,
    PtzGotoPresetArgs,
    PtzSetPresetArgs,
    PtzStartTourArgs,
    PtzStatusArgs,
    PtzStopTourArgs,
)
from drivers.contracts import PtzCapabilities, Range
from tests.conftest import ManualClock
from tests.parts.console_peers import HEAD, RecordingAgent
from tests.parts.console_rig import ConsoleRig


@pytest.fixture
def rig(clock: ManualClock, tmp_path: Path) -> ConsoleRig:
    return ConsoleRig(clock, tmp_path)


@pytest.fixture
def agent(rig: ConsoleRig) -> Iterator[RecordingAgent]:
    agent = RecordingAgent(rig.state_dir, rig.clock)
    with agent.running():
        yield agent


def head_with_pan(pan_deg: Range) -> HeadInfo:
    assert HEAD.capabilities is not None
    capabilities = msgspec.structs.replace(HEAD.capabilities, pan_deg=pan_deg)
    return msgspec.structs.replace(HEAD, capabilities=capabilities)


@pytest.mark.usefixtures("agent")
def test_the_status_of_a_head_is_its_position(rig: ConsoleRig) -> None:
    assert "mast: pan 10.0 tilt -5.0 zoom 0.25" in rig.run_logged_in("ptz status")


@pytest.mark.usefixtures("agent")
def test_an_answer_of_another_form_is_one_line(rig: ConsoleRig) -> None:
    with pytest.raises(UserError, match=r"the agent gave no answer: .*missing required field"):
        run_command(rig.state_dir, "ptz", PtzStatusArgs(head="mast"), GpioResult, 30.0)


def test_a_preset_is_stored_and_recalled_by_its_name(
    rig: ConsoleRig, agent: RecordingAgent
) -> None:
    screen = rig.run_logged_in("ptz set gate", "ptz presets", "ptz mast goto gate")
    assert "mast: gate is stored at pan 10.0 tilt -5.0 zoom 0.00." in screen
    assert re.search(r"gate +pan 10.0 tilt -5.0 zoom 0.00 +stored by amina", screen)
    assert "mast moves to gate." in screen
    commands = [args for _, args in agent.commands]
    assert commands[0] == PtzSetPresetArgs(head="mast", preset="gate")
    assert commands[-1] == PtzGotoPresetArgs(head="mast", preset="gate")


@pytest.mark.parametrize(
    ("line", "args", "said"),
    [
        (
            "ptz delete gate",
            PtzDeletePresetArgs(head="mast", preset="gate"),
            "mast: gate is deleted.",
        ),
        (
            "ptz tour round",
            PtzStartTourArgs(head="mast", tour="round"),
            "mast: the tour round is started.",
        ),
        ("ptz mast tour", PtzStopTourArgs(head="mast"), "mast: the tour is stopped."),
    ],
)
def test_presets_are_deleted_and_tours_started_and_stopped(
    rig: ConsoleRig, agent: RecordingAgent, line: str, args: object, said: str
) -> None:
    assert said in rig.run_logged_in(line)
    assert ("ptz", args) in agent.commands


@pytest.mark.parametrize(
    ("line", "pan_deg", "tilt_deg", "zoom"),
    [
        ("ptz goto 120 -10", 120, -10, 0.25),
        ("ptz mast goto -170 90 1", -170, 90, 1),
        ("ptz goto +0.5 -0,5 0.75", 0.5, -0.5, 0.75),
    ],
)
def test_a_head_moves_to_degrees_and_keeps_its_zoom(
    rig: ConsoleRig,
    agent: RecordingAgent,
    line: str,
    pan_deg: float,
    tilt_deg: float,
    zoom: float,
) -> None:
    screen = rig.run_logged_in(line)
    assert f"mast moves to pan {pan_deg:.1f} tilt {tilt_deg:.1f} zoom {zoom:.2f}." in screen
    expected = PtzGotoArgs(head="mast", pan_deg=pan_deg, tilt_deg=tilt_deg, zoom=zoom)
    assert agent.commands[-1] == ("ptz", expected)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("ptz goto 171 0", "pan 171: allowed: -170 to 170"),
        ("ptz goto 0 -31", "tilt -31: allowed: -30 to 90"),
        ("ptz goto 0 0 1.1", "zoom 1.1: allowed: 0 to 1"),
        ("ptz goto gate 0", "pan gate: allowed: -170 to 170"),
        ("ptz goto 1e1 0", "pan 1e1: allowed: -170 to 170"),
        ("ptz goto nan 0", "pan nan: allowed: -170 to 170"),
    ],
)
def test_degrees_that_the_head_cannot_reach_are_refused_with_its_range(
    rig: ConsoleRig, agent: RecordingAgent, line: str, said: str
) -> None:
    assert f"\n{said}\n" in rig.run_logged_in(line)
    assert [args for _, args in agent.commands] == [PtzStatusArgs(head="mast")]


@pytest.mark.parametrize(
    ("line", "pan_deg"),
    [("-90", -90), ("270", -90), ("-5", -5), ("355", -5), ("0", 0), ("190", -170), ("180", 180)],
)
def test_a_pan_is_typed_as_it_is_reported_or_in_the_turn_of_the_range(
    rig: ConsoleRig, agent: RecordingAgent, line: str, pan_deg: float
) -> None:
    agent.head = head_with_pan(Range(low=0, high=355))
    rig.run_logged_in(f"ptz goto {line} 0")
    expected = PtzGotoArgs(head="mast", pan_deg=pan_deg, tilt_deg=0, zoom=0.25)
    assert agent.commands[-1] == ("ptz", expected)


@pytest.mark.parametrize("typed", ["-4", "356", "-181", "x"])
def test_a_pan_beyond_a_range_across_180_degrees_is_refused(
    rig: ConsoleRig, agent: RecordingAgent, typed: str
) -> None:
    agent.head = head_with_pan(Range(low=0, high=355))
    assert f"\npan {typed}: allowed: 0 to 355\n" in rig.run_logged_in(f"ptz goto {typed} 0")
    assert [args for _, args in agent.commands] == [PtzStatusArgs(head="mast")]


@pytest.mark.parametrize(
    ("fields", "line", "said"),
    [
        (
            {"position": HeadPosition(pan_deg=0, tilt_deg=0, zoom=0, error_deg=180)},
            "ptz goto 10 0",
            "mast does not know its position; allowed: ptz mast goto PRESET",
        ),
        (
            {"position": None, "error": "head 'mast': no answer"},
            "ptz goto 10 0",
            "mast: head 'mast': no answer",
        ),
        (
            {
                "capabilities": PtzCapabilities(
                    absolute=True,
                    pan_deg=None,
                    tilt_deg=Range(low=-90, high=90),
                    pan_max_deg_s=9,
                    tilt_max_deg_s=9,
                )
            },
            "ptz goto 10 0 0.5",
            "mast has no zoom; allowed: ptz mast goto PAN TILT",
        ),
    ],
)
def test_degrees_are_refused_in_one_line_if_the_head_cannot(
    rig: ConsoleRig, agent: RecordingAgent, fields: dict[str, object], line: str, said: str
) -> None:
    agent.head = msgspec.structs.replace(HEAD, **fields)
    assert f"\n{said}\n" in rig.run_logged_in(line)
    assert len(agent.commands) == 1


def test_an_unknown_position_is_called_unknown(rig: ConsoleRig, agent: RecordingAgent) -> None:
    position = HeadPosition(pan_deg=0, tilt_deg=0, zoom=0, error_deg=180)
    agent.head = msgspec.structs.replace(HEAD, position=position)
    assert "mast: position unknown" in rig.run_logged_in("ptz status")


def test_a_command_to_the_agent_has_the_technicians_name(
    rig: ConsoleRig, agent: RecordingAgent
) -> None:
    rig.run_logged_in("ptz goto 10 0", "gpio siren on 3")
    assert set(agent.requesters) == {"amina"}
