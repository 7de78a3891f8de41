"""Write docs/demo-output.txt and the shortened transcript of README.md from a run of the demo: `python -m scripts.demo_transcript`."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from centre.demo import clip

ROOT = Path(__file__).parents[1]
OUTPUT, README = ROOT / "docs" / "demo-output.txt", ROOT / "README.md"
COMMAND = "$ make demo ARGS=--fast"
README_LINES = 12
"""Lines of the transcript that README.md has before its dots."""
BLOCK = re.compile(rf"(?<=^```text\n)\{COMMAND}\n.*?(?=^```$)", re.MULTILINE | re.DOTALL)


def run_demo() -> str:
    """Return the output of the demo, with the paths that a reader's machine has. Raises: SystemExit on a machine with so
    much other load that the box sheds work.
    """
    program = Path(sys.executable).parent / "vigie"
    with tempfile.TemporaryDirectory() as folder:
        printed = subprocess.run(  # noqa: S603 - a program of this environment
            [program, "demo", "--fast"], cwd=folder, capture_output=True, text=True, check=True
        ).stdout
    if not re.search("^Faults +none *$", printed, re.MULTILINE):
        raise SystemExit(f"the box has faults:\n{printed}")
    printed = printed.replace(str(program), ".venv/bin/vigie")
    printed = printed.replace(str(clip.cache_folder()), "/home/you/.cache/vigie")
    return "".join(f"{line.rstrip()}\n" for line in (COMMAND, *printed.splitlines()))


def shorten(transcript: str) -> str:
    """Return the transcript as README.md has it: its first lines, and the summary."""
    lines = transcript.splitlines(keepends=True)
    return "".join(lines[:README_LINES]) + "    ...\n" + "".join(lines[lines.index("\n") :])


def main() -> None:
    """Write both."""
    transcript = run_demo()
    OUTPUT.write_text(transcript, encoding="utf-8")
    readme = README.read_text(encoding="utf-8")
    README.write_text(BLOCK.sub(lambda _: shorten(transcript), readme), encoding="utf-8")


if __name__ == "__main__":
    main()
