"""docs/asyncapi.json, read by AsyncAPI's official parser."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
MODULES = ROOT / ".cache" / "asyncapi" / "node_modules"
CHECK = Path(__file__).parent / "asyncapi" / "check.js"
DOCUMENT_FILE = ROOT / "docs" / "asyncapi.json"
SEVERITIES = ("error", "warning", "information", "hint")
TIMEOUT_S = 120


def parse(file: Path) -> tuple[dict[str, Any] | None, list[tuple[str, str, str]]]:
    """The parser's summary of a document, and its errors and warnings: severity, path, message."""
    node = shutil.which("node")
    if node is None or not MODULES.is_dir():
        pytest.skip("needs node and @asyncapi/parser: make setup-test")
    done = subprocess.run(
        [node, str(CHECK), str(file)],
        env={**os.environ, "NODE_PATH": str(MODULES)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=True,
    )
    answer = json.loads(done.stdout)
    findings = [
        (SEVERITIES[each["severity"]], "/".join(map(str, each["path"])), each["message"])
        for each in answer["diagnostics"]
    ]
    return answer["summary"], [each for each in findings if each[0] in ("error", "warning")]


def test_the_official_parser_reads_the_contract_without_an_error_or_a_warning() -> None:
    summary, findings = parse(DOCUMENT_FILE)
    assert findings == []
    assert summary is not None
    document = json.loads(DOCUMENT_FILE.read_text(encoding="utf-8"))
    addresses = {name: channel["address"] for name, channel in document["channels"].items()}
    assert dict(summary["channels"]) == addresses
    assert set(summary["operations"]) == set(document["operations"])
    assert set(summary["servers"]) == {"broker", "bench"}


def test_the_official_parser_finds_an_error_that_was_put_in(tmp_path: Path) -> None:
    document = json.loads(DOCUMENT_FILE.read_text(encoding="utf-8"))
    schema = document["components"]["schemas"]["StatusMessage"]
    schema["properties"]["data"]["discriminator"] = {"propertyName": "state"}
    broken = tmp_path / "broken.json"
    broken.write_text(json.dumps(document))
    _, findings = parse(broken)
    assert any("discriminator" in f"{path} {message}" for _, path, message in findings)
