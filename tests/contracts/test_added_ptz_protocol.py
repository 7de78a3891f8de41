"""docs/adding/ptz-protocol.md adds a protocol: its blocks, put into a copy of the tree, pass."""

import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "adding" / "ptz-protocol.md").read_text(encoding="utf-8")
BLOCKS: dict[str, str] = dict(
    re.findall(r"^````python ([^\n]+)\n(.*?)^````$", PAGE, re.MULTILINE | re.DOTALL)
)
"""By their names. The fences have four backticks, because a docstring may have a fence of its own."""
HEADS = "tests/contracts/heads.py"
CONTRACT = ROOT / "tests" / "contracts" / "test_ptz.py"
COPIED = ("agent", "drivers", "simulation", "tests/contracts", "tests/virtual_camera")
LACKS = {
    "this head has no zoom",
    "this head has no focus",
    "this head has no presets",
    "this head has no wiper, heater or lamp",
    "this head has no need of reckoning",
}
"""Features that the added head lacks, so that the suite skips their tests."""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the tree with the added head."""
    tree = tmp_path_factory.mktemp("tree")
    for folder in COPIED:
        shutil.copytree(
            ROOT / folder, tree / folder, ignore=shutil.ignore_patterns("__pycache__", "*.tflite")
        )
    for file in (
        "pyproject.toml",
        "tests/__init__.py",
        "tests/conftest.py",
        "tests/fault_witness.py",
    ):
        (tree / file).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / file, tree / file)
    (tree / "tests/pure").mkdir()
    for name, text in BLOCKS.items():
        if " of " not in name:
            assert not (ROOT / name).exists(), f"{name} is in the tree already"
            (tree / name).write_text(text, encoding="utf-8")
    heads = (tree / HEADS).read_text(encoding="utf-8")
    for part, before in (
        ("imports", "from simulation.heads.visca_device"),
        ("options", "HEADS: dict"),
        ("line", '    "fake": FakeHeadBench()'),
    ):
        assert heads.count(before) == 1
        heads = heads.replace(before, f"{BLOCKS[f'{part} of {HEADS}']}{before}")
    (tree / HEADS).write_text(heads, encoding="utf-8")
    return tree


def run(tree: Path, *arguments: str) -> ET.Element:
    """Return the `testsuite` of pytest's report."""
    report = tree / "report.xml"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", *arguments],
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    suite = ET.parse(report).getroot().find("testsuite")  # noqa: S314 - pytest wrote it just now
    assert suite is not None
    return suite


def test_the_added_head_passes_the_whole_contract_suite(tree: Path) -> None:
    suite = run(tree, "tests/contracts/test_ptz.py", "-k", "ptu")
    cases = suite.findall("testcase")
    requested = {str(case.get("name")).partition("[")[0] for case in cases}
    every = set(re.findall(r"^def (test_\w+)", CONTRACT.read_text(encoding="utf-8"), re.MULTILINE))
    assert requested == every, "each test of the suite ran"
    assert all("ptu" in str(case.get("name")) for case in cases)
    reasons = {str(skip.get("message")) for case in cases for skip in case.findall("skipped")}
    assert reasons == LACKS


def test_the_added_drivers_bytes_are_those_of_the_manual(tree: Path) -> None:
    assert int(run(tree, "tests/pure/test_ptu.py").get("tests", 0)) > 0


def test_the_added_head_is_one_driver_file_and_one_line_of_the_suite() -> None:
    product = [name for name in BLOCKS if name.startswith("drivers/ptz/")]
    assert product == ["drivers/ptz/ptu.py"]
    assert BLOCKS[f"line of {HEADS}"].count("\n") == 1
