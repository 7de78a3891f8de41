"""The libraries that the start of a command imports: each takes CPU time of every call."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.recording.segment_name import SegmentName

LIBRARIES = {
    "ai_edge_litert",
    "av",
    "cryptography",
    "cv2",
    "numpy",
    "paho",
    "rich",
    "sqlite3",
    "ssl",
    "tomlkit",
}
"""Those that a command may import only if it needs them: from 5 to 90 ms of CPU."""

IMPORTED = """
import json, os, sys
from agent.__main__ import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
print(json.dumps([sorted(sys.modules), len(os.listdir("/proc/self/task"))]), file=sys.stderr)
"""


def start_of(*arguments: str) -> tuple[set[str], int]:
    """Return the libraries that a command imports, and the number of its threads."""
    result = subprocess.run(
        [sys.executable, "-c", IMPORTED, *arguments], capture_output=True, check=True
    )
    modules, thread_count = json.loads(result.stderr.splitlines()[-1])
    return LIBRARIES & set(modules), thread_count


def test_a_command_collects_no_garbage_among_its_modules_and_all_later() -> None:
    code = """
import gc, sys
from agent.__main__ import main
collections = sum(generation["collections"] for generation in gc.get_stats())
main()
found = sum(generation["collections"] for generation in gc.get_stats()) - collections
print(gc.isenabled(), gc.get_freeze_count() > 10_000, found <= 1, file=sys.stderr)
"""
    result = subprocess.run([sys.executable, "-c", code, "faults"], capture_output=True, check=True)
    assert result.stderr.split() == [b"True"] * 3


def test_the_libraries_of_the_agent_start_no_thread() -> None:
    libraries, thread_count = start_of("run", "--help")
    assert {"numpy", "cv2"} <= libraries
    assert thread_count == 1


@pytest.mark.parametrize(
    ("arguments", "libraries"),
    [
        ("--help", set()),
        ("faults", set()),
        ("footage --help", set()),
        ("declare --help", set()),
        ("boot-good --help", set()),
        ("ptz --help", set()),
        ("bundle --help", {"cryptography"}),
        ("provision --help", {"cryptography", "tomlkit"}),
        ("update --help", {"cryptography", "ssl"}),
        ("console-code --help", {"cryptography"}),
        ("send --help", {"cryptography", "paho", "sqlite3", "ssl"}),
        ("console --help", LIBRARIES - {"ai_edge_litert", "av", "cv2", "rich"}),
        ("watch --help", {"cryptography", "paho", "sqlite3", "ssl"}),
    ],
)
def test_a_command_imports_only_the_libraries_that_it_needs(
    arguments: str, libraries: set[str]
) -> None:
    assert start_of(*arguments.split())[0] <= libraries


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_list_of_footage_imports_none_of_them(tmp_path: Path, form: list[str]) -> None:
    camera = tmp_path / "footage" / "north"
    camera.mkdir(parents=True)
    begin = datetime(2026, 11, 25, tzinfo=UTC)
    name = SegmentName(counter=1, boot="0000000a", begin_ms=0, utc=begin, synced=True)
    (camera / str(name)).write_bytes(b"12")
    assert start_of("footage", "list", "--state", str(tmp_path), *form)[0] == set()
