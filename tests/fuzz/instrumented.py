"""One target under atheris, for `python -m tests.fuzz`."""

import sys

import atheris

with atheris.instrument_imports(include=["agent", "centre", "drivers", "simulation"]):
    from tests.fuzz.targets import TARGETS

from tests.fuzz.__main__ import WORK_DIR


def main() -> None:
    """Write the seeds as the first inputs, then fuzz until libFuzzer's options end it."""
    name = sys.argv.pop(1)
    target = TARGETS[name]
    for number, seed in enumerate(target.seeds()):
        (WORK_DIR / name / f"seed-{number}").write_bytes(seed)
    atheris.Setup(sys.argv, lambda data: target.run(data) and None)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
