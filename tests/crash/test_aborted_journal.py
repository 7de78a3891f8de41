"""A disk that fails in the middle of a sync: what was returned as durable is there after the repair."""

import os
import random
import subprocess
import sys
from pathlib import Path

from tests.crash.disk import make_ext4, mounted, run_command, skip_unless_available

ABORTS = 150 if os.environ.get("VIGIE_CRASH") == "long" else 4
"""Without the check of the journal one abort in 20 loses a line that was returned."""
MAX_LINES_BEFORE = 60
WRITER = r"""
import os
import sys
from pathlib import Path
from agent.recording.custody.chain_files import append_to_file, create_file

folder = Path(sys.argv[1])
create_file(folder / "chain")
for number in range(1_000_000):
    append_to_file(folder / "chain", b"%0299d\n" % number)
    os.write(1, b"%d\n" % number)
    with (folder / "footage").open("ab") as footage:
        footage.write(bytes(20_000))
"""


def test_a_line_that_was_synced_while_the_journal_was_aborted_is_there_after_the_repair(
    tmp_path: Path,
) -> None:
    skip_unless_available()
    rng = random.Random()
    for _ in range(ABORTS):
        image = make_ext4(tmp_path / "disk.img", 24 << 20)
        with (
            mounted(image, tmp_path / "disk") as disk,
            subprocess.Popen(
                [sys.executable, "-c", WRITER, disk],
                bufsize=0,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            ) as writer,
        ):
            assert writer.stdout is not None
            returned = [
                int(writer.stdout.readline()) for _ in range(rng.randrange(1, MAX_LINES_BEFORE))
            ]
            run_command("mount", "-o", "remount,abort", disk)
            output, errors = writer.communicate()
            assert b"OSError" in errors
        returned += map(int, output.split())
        subprocess.run(["e2fsck", "-fy", str(image)], check=False, capture_output=True)
        with mounted(image, tmp_path / "disk") as disk:
            kept = [int(line) for line in (disk / "chain").read_text().split()]
        assert kept[: len(returned)] == returned
