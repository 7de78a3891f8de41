"""agent.config.control: the permissions of roles, as one table, and contradictions of the configuration. No I/O."""

from pathlib import Path
from typing import get_args

import pytest

from agent.base import checked_convert
from agent.base.control_role import CONTROL_ROLES, ControlRole
from agent.base.errors import UserError
from agent.config import configuration
from agent.config.configuration import Config
from agent.config.control import (
    ACTIONS,
    DEFAULT_ACTIONS,
    Action,
    ControlConfig,
    GrantedAction,
    RolePermission,
)

TABLE: dict[Action, str] = {
    #             viewer operator incident supervisor maintainer centre
    "see": "      y      y        y        y          -          -",
    "move": "     -      y        y        y          -          -",
    "switch": "   -      y        y        y          -          -",
    "hold": "     -      y        y        y          -          -",
    "export": "   -      -        -        y          -          -",
    "configure": "-      -        -        y          -          -",
    "lift_mask": "-      -        -        y          -          -",
    "maintain": " -      -        -        -          y          -",
    "stop": "     y      y        y        y          y          y",
}
"""Without a configuration, on each camera and on the box itself."""

NARROW = ControlConfig(
    ca="ca.pem",
    permission=(
        RolePermission(role="viewer", actions=()),
        RolePermission(role="operator", actions=("see",)),
        RolePermission(role="operator", actions=("move", "hold"), cameras=("north",)),
        RolePermission(role="operator", actions=("hold",), cameras=("yard",)),
        RolePermission(role="maintainer", actions=("maintain", "see"), cameras=("yard",)),
    ),
)
NARROW_TABLE: dict[tuple[ControlRole, Action], str] = {
    # cameras:                 box north yard north+yard
    ("viewer", "see"): "        -   -     -    -",
    ("viewer", "stop"): "       y   y     y    y",
    ("operator", "see"): "      y   y     y    y",
    ("operator", "move"): "     -   y     -    -",
    ("operator", "hold"): "     -   y     y    y",
    ("operator", "switch"): "   -   -     -    -",
    ("operator", "stop"): "     y   y     y    y",
    ("incident", "move"): "     y   y     y    y",
    ("supervisor", "move"): "   y   y     y    y",
    ("maintainer", "maintain"): "-  -     y    -",
    ("maintainer", "see"): "    -   -     y    -",
    ("centre", "see"): "        -   -     -    -",
}
CAMERAS: tuple[tuple[str, ...], ...] = ((), ("north",), ("yard",), ("north", "yard"))


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("role", CONTROL_ROLES)
@pytest.mark.parametrize("cameras", CAMERAS)
def test_the_default_permissions(
    role: ControlRole, action: Action, cameras: tuple[str, ...]
) -> None:
    expected = TABLE[action].split()[CONTROL_ROLES.index(role)] == "y"
    assert ControlConfig(ca="ca.pem").permits(role, action, cameras) == expected


@pytest.mark.parametrize(("role", "action"), NARROW_TABLE)
def test_entries_of_a_role_replace_its_default(role: ControlRole, action: Action) -> None:
    for cameras, cell in zip(CAMERAS, NARROW_TABLE[role, action].split(), strict=True):
        assert NARROW.permits(role, action, cameras) == (cell == "y"), cameras


def test_each_action_but_a_stop_can_be_granted() -> None:
    assert get_args(GrantedAction) == tuple(action for action in ACTIONS if action != "stop")
    assert set(DEFAULT_ACTIONS) == set(CONTROL_ROLES)


SMALLEST = """
[box]
id = "pole-17"
site = "corner"
[broker]
url = "mqtts://broker"
ca = "ca.pem"
[[camera]]
name = "north"
driver = "fake"
"""


def load(text: str, folder: Path) -> Config:
    file = folder / "vigie.toml"
    file.write_text(text)
    return configuration.load(file)


def test_control_ca_is_relative_to_the_configuration(tmp_path: Path) -> None:
    config = load(
        SMALLEST
        + '[control]\nca = "city.pem"\n[[control.permission]]\nrole = "viewer"\nactions = ["see"]\n'
        'cameras = ["north"]\n',
        tmp_path,
    )
    assert config.control.ca == str(tmp_path / "city.pem")
    assert config.control.permission[0].cameras == ("north",)
    assert load(SMALLEST, tmp_path).control == ControlConfig()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            '[[control.permission]]\nrole = "viewer"\nactions = []\n',
            "control.permission: has no use without control.ca, because roles are then not authenticated",
        ),
        (
            '[control]\nca = "x"\n[[control.permission]]\nrole = "viewer"\nactions = ["see"]\ncameras = ["sky"]\n',
            "control.permission[0].cameras: 'sky': no such camera; allowed: north",
        ),
        (
            '[control]\nca = "x"\n[[control.permission]]\nrole = "king"\nactions = []\n',
            "control.permission[0].role = 'king': allowed: ",
        ),
        (
            '[control]\nca = "x"\n[[control.permission]]\nrole = "viewer"\nactions = ["stop"]\n',
            "control.permission[0].actions[0] = 'stop': allowed: ",
        ),
        ('[control]\nca = ""\n', "control.ca = '': allowed: "),
    ],
)
def test_a_mistake_is_one_line(text: str, line: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        load(SMALLEST + text, tmp_path)
    assert str(error.value).startswith(f"{tmp_path / 'vigie.toml'}: {line}")


def test_with_signed_acknowledgements_a_puback_frees_nothing(tmp_path: Path) -> None:
    text = SMALLEST.replace('ca = "ca.pem"', 'ca = "ca.pem"\nack = "broker"')
    load(text, tmp_path)
    with pytest.raises(UserError, match=r"broker\.ack = 'broker': a broker that is not trusted"):
        load(text + '[control]\nca = "x"\n', tmp_path)


def test_a_permission_is_decoded_strictly() -> None:
    with pytest.raises(UserError, match="unknown key"):
        checked_convert.convert({"role": "viewer", "actions": [], "x": 1}, RolePermission, "x")
