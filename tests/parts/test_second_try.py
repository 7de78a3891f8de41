"""scripts/second_try.py: CI's second try of tests that failed, with a real make and a real pytest."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "second_try.py"
MAKEFILE = f"""
test:
\t@test ! -e lint-fails
\t@{sys.executable} -m pytest -q $(ARGS)
"""
TESTS = """
from pathlib import Path

def test_good():
    pass

def test_by_chance():
    tried, fails = Path("tried"), Path("fails")
    if fails.exists() and (fails.read_text() == "always" or not tried.exists()):
        tried.touch()
        raise RuntimeError("port 8443 is taken")
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "Makefile").write_text(MAKEFILE)
    (tmp_path / "test_one.py").write_text(TESTS)
    return tmp_path


def ci(project: Path) -> tuple[int, str]:
    """Run CI's step on a project, and return its exit code and its log."""
    (project / "tried").unlink(missing_ok=True)
    command = [sys.executable, SCRIPT, "make", "test"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_what_passes_is_tried_once(project: Path) -> None:
    code, log = ci(project)
    assert (code, log.count(" passed")) == (0, 1)


def test_a_second_try_that_passes_says_what_it_hid(project: Path) -> None:
    (project / "fails").write_text("once")
    code, log = ci(project)
    assert code == 0
    assert "failed at the first try of `make test`:" in log
    assert "  test_one::test_by_chance: RuntimeError: port 8443 is taken\n" in log
    assert "test_one::test_good" not in log


def test_a_test_that_needs_a_second_try_again_fails_the_run(project: Path) -> None:
    (project / "fails").write_text("once")
    assert ci(project)[0] == 0
    code, log = ci(project)
    assert code == 1
    assert "test_one::test_by_chance: it needed a second try then too" in log
    (project / "fails").unlink()
    assert ci(project)[0] == 0


def test_a_test_that_fails_twice_fails_the_run(project: Path) -> None:
    (project / "fails").write_text("always")
    code, log = ci(project)
    assert code != 0
    assert "  test_one::test_by_chance: RuntimeError: port 8443 is taken\n" in log
    assert not (project / ".cache/second-tries").exists()


def test_what_fails_before_the_tests_is_not_tried_again(project: Path) -> None:
    (project / "lint-fails").touch()
    code, log = ci(project)
    assert code != 0
    assert "passed" not in log
