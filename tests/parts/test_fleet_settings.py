"""centre.provisioning.fleet_settings: all boxes of a table are good, or each mistake is reported with its line."""

import base64
import os
from collections.abc import Sequence

import pytest

from agent.provisioning.settings import InvalidSettings, parse_settings
from centre.provisioning.fleet_settings import FleetSettings, SourceFile, build_fleet_settings
from tests.settings_files import GOOD_SETTINGS, PASSWORD

TEMPLATE = GOOD_SETTINGS.replace(
    "[files]",
    '[network]\naddress = "10.4.0.9/24"\ngateway = "10.4.0.1"\n\n[files]',
).replace('"console.secret" = ', "# ")
HEADINGS = (
    "box.id",
    "box.site",
    "network.address",
    "camera[0].options.url",
    "secrets.north.password",
)


def row(number: int) -> list[str]:
    return [
        f"casa-{number:04}",
        f"Rue {number}",
        f"10.4.0.{number + 10}/24",
        f"rtsp://10.0.{number}.21/main",
        f"{PASSWORD} {number}",
    ]


def build(
    rows: Sequence[Sequence[str]], template: str = TEMPLATE, headings: Sequence[str] = HEADINGS
) -> FleetSettings:
    lines = [";".join(cells) for cells in (headings, *rows)]
    return build_fleet_settings(
        SourceFile(name="boxes.csv", data="\n".join(lines).encode()),
        SourceFile(name="template.toml", data=template.encode()),
        os.urandom,
    )


def problems_of(
    rows: Sequence[Sequence[str]], template: str = TEMPLATE, headings: Sequence[str] = HEADINGS
) -> list[str]:
    with pytest.raises(InvalidSettings) as error:
        build(rows, template, headings)
    return list(error.value.problems)


def test_each_box_gets_the_template_with_its_own_values() -> None:
    fleet = build([row(1), row(2)])
    assert sorted(fleet.files) == ["casa-0001.toml", "casa-0002.toml"]
    file = fleet.files["casa-0002.toml"]
    assert file.mode == 0o600
    settings = parse_settings(file.data, "x")
    assert (settings.box_id, settings.site) == ("casa-0002", "Rue 2")
    assert settings.config.network.address == "10.4.0.12/24"
    assert settings.config.network.gateway == "10.4.0.1"
    assert settings.config.camera[0].options["url"] == "rtsp://10.0.2.21/main"
    assert settings.embedded.secrets["north.password"] == f"{PASSWORD} 2"


def test_each_console_gets_a_secret_of_its_own_which_is_listed() -> None:
    fleet = build([row(1), row(2)])
    for number in (1, 2):
        secret = fleet.console_secrets[f"casa-{number:04}"]
        assert len(base64.b64decode(secret)) == 32
        settings = parse_settings(fleet.files[f"casa-{number:04}.toml"].data, "x")
        assert settings.embedded.secrets["console.secret"] == secret
    assert len(set(fleet.console_secrets.values())) == 2


def test_a_secret_in_the_table_is_kept() -> None:
    given = base64.b64encode(bytes(range(32))).decode()
    template = f'{TEMPLATE}"console.secret" = "x"\n'
    headings = (*HEADINGS, "secrets.console.secret")
    fleet = build([[*row(1), given], [*row(2), ""]], template, headings)
    assert fleet.console_secrets["casa-0001"] == given
    assert len(base64.b64decode(fleet.console_secrets["casa-0002"])) == 32


def test_the_mistakes_of_all_lines_are_reported_at_once_with_line_key_value_and_what_is_allowed() -> (
    None
):
    rows = [row(number) for number in range(1, 6)]
    rows[0][2] = "10.4.0.300/24"
    rows[2][0] = "Casa 3"
    rows[2][3] = "rtsp:/10.0.0.3"
    rows[4][1] = ""
    problems = problems_of(rows)
    assert [problem for problem in problems if problem.startswith("boxes.csv line 2: ")] == [
        (
            "boxes.csv line 2: network.address = '10.4.0.300/24': not a host address with a prefix length; "
            "allowed: such as 10.4.0.17/24"
        )
    ]
    for start in (
        "boxes.csv line 4: box.id = 'Casa 3': allowed: ",
        "boxes.csv line 4: camera[0].options.url = 'rtsp:/10.0.0.3': ",
        "boxes.csv line 6: box.site: missing; it has to be given",
    ):
        assert len([problem for problem in problems if problem.startswith(start)]) == 1, problems
    assert {problem.split(":")[0] for problem in problems} == {
        "boxes.csv line 2",
        "boxes.csv line 4",
        "boxes.csv line 6",
    }


def test_ids_names_and_addresses_are_used_once() -> None:
    rows = [row(1), row(2), row(3), row(4)]
    rows[1][0] = "casa-0001"
    rows[2][1] = "RUE  1"
    rows[3][2] = "10.4.0.11/16"
    problems = problems_of(rows)
    assert (
        "boxes.csv line 3: box.id = 'casa-0001': in line 2 already; allowed: its own for each box"
        in problems
    )
    assert (
        "boxes.csv line 4: box.site = 'RUE  1': in line 2 already; allowed: its own for each box"
        in problems
    )
    assert (
        "boxes.csv line 5: network.address = '10.4.0.11/16': in line 2 already; allowed: its own for each box"
        in problems
    )
    assert len(problems) == 3


def test_a_mistake_of_the_template_is_reported_once() -> None:
    template = TEMPLATE.replace('driver = "rtsp"', 'driver = "rtps"')
    (problem,) = problems_of([row(number) for number in range(1, 30)], template)
    assert problem.startswith(
        "boxes.csv, every line: camera[0].driver: camera driver 'rtps' is unknown"
    )


def test_what_boxes_may_not_share_needs_a_column() -> None:
    template = f'{TEMPLATE}"console.secret" = "x"\n'
    problems = problems_of([["casa-1"], ["casa-2"]], template, ["box.id"])
    shared = "the template's, one for all boxes; allowed: a column, its own for each box"
    for key in ("box.site", "network.address", "secrets.console.secret"):
        assert f"boxes.csv, every line: {key}: {shared}" in problems


def test_no_message_and_no_repr_has_a_secret() -> None:
    rows = [row(1), row(2)]
    rows[0][3] = f"rtsp://vigie:{PASSWORD}@10.0.0.1:99999/"
    rows[1][4] = f"{PASSWORD}\t"
    assert PASSWORD not in "\n".join(problems_of(rows))
    fleet = build([row(1)])
    assert fleet.console_secrets["casa-0001"] not in repr(fleet)


def test_notes_are_counted() -> None:
    fleet = build([row(1), row(2)])
    assert fleet.notes == (
        "the box makes its own key; its certificate request will be on the card (2 of 2 boxes)",
    )
