"""Coverage-guided fuzzing (atheris, on libFuzzer): `make fuzz`, or `python -m tests.fuzz --minutes 1 mp4`.

Each target runs in a process of its own. New inputs are kept in build/fuzz/NAME; an input that breaks a target is
printed and kept in build/fuzz/NAME.defects, and belongs into tests/fuzz/corpus/NAME with the mend.
"""

import argparse
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fuzz.target import CORPUS_DIR, MAX_INPUT_BYTES

WORK_DIR = Path("build/fuzz")
MAX_MEMORY_MB = 2048
MAX_INPUT_S = 20
"""An input that takes longer is a defect: no parser of the box may be held up by one message."""
WORKERS = 2


def run_target(name: str, minutes: float) -> bool:
    """Fuzz one target; return whether it withstood."""
    found_dir, defects_dir = WORK_DIR / name, WORK_DIR / f"{name}.defects"
    for folder in (found_dir, defects_dir):
        folder.mkdir(parents=True, exist_ok=True)
    command = (
        *(sys.executable, "-m", "tests.fuzz.instrumented", name),
        f"-max_total_time={round(60 * minutes)}",
        f"-max_len={MAX_INPUT_BYTES}",
        f"-rss_limit_mb={MAX_MEMORY_MB}",
        f"-timeout={MAX_INPUT_S}",
        f"-artifact_prefix={defects_dir}/",
        "-print_final_stats=1",
        *(str(folder) for folder in (found_dir, CORPUS_DIR / name) if folder.is_dir()),
    )
    with (WORK_DIR / f"{name}.log").open("wb") as log:
        ended = subprocess.run(command, stdout=log, stderr=log, check=False)
    output = (WORK_DIR / f"{name}.log").read_text(errors="replace")
    runs = [line.split()[-1] for line in output.splitlines() if "number_of_executed_units" in line]
    print(f"{name}: {runs[-1] if runs else 'no'} inputs, exit code {ended.returncode}", flush=True)
    if ended.returncode:
        print(f"  see {WORK_DIR}/{name}.log and {defects_dir}", flush=True)
    return ended.returncode == 0


def main() -> int:
    """Fuzz the named targets, or all."""
    from tests.fuzz.targets import TARGETS  # noqa: PLC0415 - atheris instruments it in the children

    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="for each target (10)")
    parser.add_argument("names", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    args = parser.parse_args()
    unknown = [name for name in args.names if name not in TARGETS]
    if unknown:
        parser.error(f"target {unknown[0]!r}: allowed: {', '.join(TARGETS)}")
    with ThreadPoolExecutor(WORKERS) as pool:
        results = list(pool.map(lambda name: run_target(name, args.minutes), args.names or TARGETS))
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
