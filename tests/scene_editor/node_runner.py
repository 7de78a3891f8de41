"""Runs the editor's modules under Node."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, Self

import pytest

FOLDER = Path(__file__).parent


class NodeScript:
    """A script of this folder that answers each line of JSON with one."""

    def __init__(self, name: str) -> None:
        node = shutil.which("node")
        if node is None:
            pytest.skip("needs node: make setup-test")
        self._process = subprocess.Popen(
            [node, str(FOLDER / name)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:
            pass

    def ask(self, value: Any) -> Any:
        """Return the script's answer. An exception in the script ends it, with its trace on standard error."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(value).encode() + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the script has ended"
        return json.loads(line)
