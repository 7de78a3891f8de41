"""drivers.gpio.gpio and the process that holds the pins: its end, its forks, its folder.

Each test is a separate process, with gpiozero's mock or with a stand-in for lgpio, which cannot be
loaded without a board.
"""

import os
import subprocess
import sys
from pathlib import Path

OPENED = """
import atexit, os, sys, time
def report():
    print([state.state for state in pin.states])
atexit.register(report)
import gpiozero
from drivers.contracts import GpioLine
from drivers.errors import DriverError
from drivers.gpio import gpio
gpiozero.Device.ensure_pin_factory()
pin = gpiozero.Device.pin_factory.pin(27)
pins = gpio.open_gpio(
    gpio.Options(), [GpioLine(name="siren", pin=27, direction="out")], time.monotonic_ns
)
pins.set_output("siren", active=True)
"""

LGPIO = """
import os
BOTH_EDGES, RISING_EDGE, FALLING_EDGE = 3, 1, 2
SET_PULL_NONE = SET_PULL_UP = SET_PULL_DOWN = 0
class error(Exception):
    pass
os.chdir(os.environ["LG_WD"])
os.mkfifo(".lgd-nfy0")
"""

ABSENT = """
import os, sys, time
from pathlib import Path
from drivers.contracts import GpioLine
from drivers.errors import DriverError
from drivers.gpio import gpio
try:
    gpio.open_gpio(gpio.Options(), [GpioLine(name="x", pin=4, direction="in")], time.monotonic_ns)
except DriverError as error:
    print(error.kind)
print(os.getcwd(), os.environ.get("LG_WD"))
print([str(path.parent.name)[:6] for path in Path(sys.argv[1]).rglob(".lgd*")])
"""


def run(script: str, folder: Path, *arguments: str, **environment: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    return done.stdout.splitlines()


def test_an_output_is_inactive_when_the_process_ends(tmp_path: Path) -> None:
    (states,) = run(OPENED, tmp_path, GPIOZERO_PIN_FACTORY="mock")
    assert states == "[False, True, False]"


def test_an_output_is_inactive_when_an_error_ends_the_process(tmp_path: Path) -> None:
    script = OPENED + "raise SystemError('the worst')"
    (states,) = run(script, tmp_path, GPIOZERO_PIN_FACTORY="mock")
    assert states == "[False, True, False]"


def test_a_fork_cannot_use_the_pins_and_leaves_them_as_they_are(tmp_path: Path) -> None:
    script = (
        OPENED
        + """
if os.fork() == 0:
    try:
        pins.set_output("siren", active=False)
    except DriverError as error:
        print(error.kind, flush=True)
    pins.close()
    print(pin.state, flush=True)
    os._exit(0)
os.wait()
"""
    )
    kind, state, states = run(script, tmp_path, GPIOZERO_PIN_FACTORY="mock")
    assert (kind, state) == ("unsupported", "True")
    assert states == "[False, True, False]"


def test_lgpio_uses_the_runtime_folder_and_the_process_keeps_its_own(
    tmp_path: Path,
) -> None:
    modules, runtime, here = (tmp_path / name for name in ("modules", "runtime", "here"))
    for folder in (modules, runtime, here):
        folder.mkdir()
    (modules / "lgpio.py").write_text(LGPIO)
    environment = {"PYTHONPATH": str(modules), "RUNTIME_DIRECTORY": str(runtime)}
    environment["GPIOZERO_PIN_FACTORY"] = "lgpio"
    kind, folder, fifos = run(ABSENT, here, str(runtime), **environment)
    assert kind == "absent"
    assert folder == f"{here} None"
    assert fifos == "['lgpio-']"
    assert not list(runtime.iterdir()), "it goes with the process"
    assert not list(here.iterdir())
