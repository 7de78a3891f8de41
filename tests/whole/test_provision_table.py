"""`vigie provision --table`: the settings of 650 boxes, all or none."""

import base64
import csv
import stat
from pathlib import Path

import pytest

from agent.__main__ import main
from agent.console.login import compute_code, parse_challenge
from centre.provisioning.console_secrets import LIST_FILE
from tests.parts.test_fleet_settings import HEADINGS, TEMPLATE, row

BOXES = 650


def address(number: int) -> str:
    return f"10.4.{number // 200}.{number % 200 + 10}/16"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A table of 650 boxes as a spreadsheet writes it, and its template."""
    with (tmp_path / "boxes.csv").open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(HEADINGS)
        for number in range(1, BOXES + 1):
            cells = row(number)
            cells[2], cells[3] = address(number), "rtsp://10.0.0.21/main"
            writer.writerow(cells)
    (tmp_path / "template.toml").write_text(TEMPLATE)
    return tmp_path


def provision(folder: Path, *options: str, out: str = "out") -> int:
    paths = [f"--table={folder}/boxes.csv", f"--template={folder}/template.toml"]
    return main(["provision", *paths, f"--out={folder / out}", *options])


def leftovers(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"boxes.csv", "template.toml"}


def test_650_boxes_get_settings_that_the_check_accepts_and_a_list_of_secrets(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert provision(folder) == 0
    printed = capsys.readouterr()
    assert f"{folder}/out: settings of 650 boxes" in printed.out
    files = sorted((folder / "out").iterdir())
    assert [file.name for file in files] == [
        *(f"casa-{number:04}.toml" for number in range(1, BOXES + 1)),
        LIST_FILE,
    ]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert stat.S_IMODE((folder / "out").stat().st_mode) == 0o700
    listed = dict(line.split(",") for line in files[-1].read_text().splitlines()[1:])
    assert len(listed) == len(set(listed.values())) == BOXES
    for file in files[:-1:50]:
        assert main(["provision", "--check", str(file)]) == 0
        assert listed[file.stem] in file.read_text()
        assert listed[file.stem] not in printed.out + printed.err
    capsys.readouterr()
    # The list answers the challenge of each box's console.
    challenge = "casa-0650 amina 7K2M-9QXD"
    assert main(["console-code", "--secret", str(files[-1]), *challenge.split()]) == 0
    code = compute_code(base64.b64decode(listed["casa-0650"]), parse_challenge(challenge))
    assert capsys.readouterr().out.replace(" ", "").strip() == code
    assert leftovers(folder) == {"out"}


def test_one_mistake_in_650_lines_leaves_no_folder(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = folder / "boxes.csv"
    table.write_text(table.read_text(encoding="utf-8").replace("10.4.2.60/16", "10.4.2.61/16"))
    assert provision(folder) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        f"vigie: {table} line 452: network.address = '10.4.2.61/16': in line 451 already; "
        "allowed: its own for each box"
    )
    assert leftovers(folder) == set()


@pytest.mark.parametrize("content", ["folder", "file"])
def test_what_is_there_is_not_overwritten(
    folder: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = folder / "out"
    if content == "folder":
        out.mkdir()
        (out / "casa-0001.toml").write_text("kept")
    else:
        out.write_text("kept")
    assert provision(folder) == 2
    assert "allowed: a new or an empty folder" in capsys.readouterr().err
    assert (out / "casa-0001.toml" if content == "folder" else out).read_text() == "kept"
    assert leftovers(folder) == {"out"}


def test_an_empty_folder_is_used(folder: Path) -> None:
    (folder / "boxes.csv").write_text("\n".join(";".join(c) for c in (HEADINGS, row(1))))
    (folder / "out").mkdir()
    assert provision(folder) == 0
    assert {path.name for path in (folder / "out").iterdir()} == {"casa-0001.toml", LIST_FILE}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--table=b.csv"], "--template, --out: missing; --table, --template, --out go together"),
        (
            ["--table=b.csv", "--template=t.toml", "--out=o", "--check=x"],
            "--check: not with --table",
        ),
        (["--table=/dev/zero", "--template=t.toml", "--out=/tmp/x-o"], "not a regular file"),
        (
            ["--table=b.csv", "--template=t.toml", "--out=/nowhere/o"],
            "there is no folder '/nowhere'",
        ),
    ],
)
def test_wrong_arguments_are_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["provision", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
