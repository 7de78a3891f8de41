"""Conversion of ONNX to TensorFlow Lite by onnx2tf, a program in an environment of its own.

It brings its own versions of libraries that the project pins otherwise. `make setup-onnx` installs it next to the
project; else it is found in the PATH.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from agent.base.errors import UserError

ENVIRONMENT = Path(__file__).parents[2] / ".cache" / "onnx" / "bin"
MAX_MEMORY_BYTES = 12_884_901_888
MAX_CPU_S = 900
MAX_OUTPUT_BYTES = 1_073_741_824
PROGRAM = "onnx2tf"


@contextmanager
def converted(path: Path) -> Iterator[tuple[Path, str]]:
    """Yield the converted file, float32, for the time of the context, and the name of the converter.

    Raises: UserError if there is no converter, or it refuses the file.
    """
    search_path = os.pathsep.join((str(ENVIRONMENT), os.environ.get("PATH", "")))
    program = shutil.which(PROGRAM, path=search_path)
    if program is None:
        raise UserError(
            f"{path}: needs {PROGRAM}, which is not installed; allowed: after `make setup-onnx`, "
            "or a file .tflite"
        )
    with TemporaryDirectory(prefix="vigie-onnx-") as folder:
        source = Path(folder) / "model.onnx"
        try:
            shutil.copyfile(path, source)
        except OSError as error:
            raise UserError(f"{path}: {error.strerror or error}") from error
        limits = (f"--data={MAX_MEMORY_BYTES}", f"--cpu={MAX_CPU_S}", f"--fsize={MAX_OUTPUT_BYTES}")
        result = subprocess.run(  # noqa: S603 - the converter of this office, and limits for it
            ["prlimit", *limits, program, "-i", str(source), "-o", folder, "-n"],  # noqa: S607
            cwd=folder,
            env=os.environ | {"PATH": search_path, "PYTHONPATH": ""},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        output = Path(folder) / "model_float32.tflite"
        if result.returncode or not output.is_file():
            raise UserError(f"{path}: {PROGRAM} refuses it: {_last_line(result.stdout)}")
        yield output, f"{PROGRAM} {_version(program)}"


def _version(program: str) -> str:
    result = subprocess.run([program, "-V"], capture_output=True, check=False)  # noqa: S603 - as above
    return _last_line(result.stdout)


def _last_line(output: bytes) -> str:
    lines = [line.strip() for line in output.decode("utf-8", "replace").splitlines()]
    last = next((line for line in reversed(lines) if line), "it gives no reason")
    return "".join(character for character in last if character.isprintable())[:300]
