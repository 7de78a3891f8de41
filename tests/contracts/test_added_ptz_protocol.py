"""docs/adding/ptz-protocol.md adds a protocol: its blocks, put into a copy of the tree, pass."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

from tests.contracts.adding_page import ROOT, AddingPage, run, run_tests

PAGE = AddingPage("ptz-protocol.md")
MAX_FILES = 2
CONTRACT = ROOT / "tests" / "contracts" / "test_ptz.py"
LACKS = {
    "this head has no zoom",
    "this head has no focus",
    "this head has no presets",
    "this head has no wiper, heater or lamp",
    "this head has no need of reckoning",
}
"""Features that the added head lacks, so that the suite skips their tests."""


def test_the_page_changes_few_files() -> None:
    assert len(PAGE.files) <= MAX_FILES


def test_the_added_head_passes_the_whole_contract_suite(tmp_path: Path) -> None:
    PAGE.follow(tmp_path)
    run_tests(tmp_path, "documents/test_examples", "documents/test_tables")
    report = tmp_path / "report.xml"
    run(
        tmp_path,
        "-m",
        "pytest",
        "-q",
        "-n",
        "0",
        f"--junitxml={report}",
        "tests/contracts/test_ptu.py",
    )
    suite = ET.parse(report).getroot().find("testsuite")  # noqa: S314 - pytest wrote it just now
    assert suite is not None
    cases = [case for case in suite.findall("testcase") if "ptu" in str(case.get("name"))]
    requested = {str(case.get("name")).partition("[")[0] for case in cases}
    every = set(re.findall(r"^def (test_\w+)", CONTRACT.read_text(encoding="utf-8"), re.MULTILINE))
    assert requested == every, "each test of the suite ran"
    reasons = {str(skip.get("message")) for case in cases for skip in case.findall("skipped")}
    assert reasons == LACKS
