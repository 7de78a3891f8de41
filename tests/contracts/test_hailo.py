"""drivers.hailo beyond the contract: a device that is missing, silent, broken, and its model's process.

The device is `tests/hailo_runtime` under picamera2's real wrapper of HailoRT.
"""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from agent.base.sha256 import sha256_hex
from drivers.child.process import new_interpreter
from drivers.errors import DriverError
from drivers.hailo import accelerator, messages
from drivers.hailo.accelerator import MIN_PAUSE_NS, HailoModel
from drivers.hailo.child import parse_output
from tests import hailo_runtime, virtual_camera
from tests.conftest import ManualClock

from .conftest import wait_for_hailo

CARD = hailo_runtime.card()
HOSTILE_CHILD = "tests.contracts.hostile_hailo"
GREY = np.full((300, 300, 3), 90, np.uint8)
SETTINGS = messages.ModelSettings(
    file="x.hef", sha256="0" * 64, min_score=0.25, class_numbers=(0, 2, 7)
)


@pytest.fixture(autouse=True)
def long_inference(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass of the model may take as long as a busy machine makes it."""
    monkeypatch.setattr(accelerator, "INFER_TIMEOUT_S", 60.0)


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if (reason := virtual_camera.skip_reason()) is not None:
        pytest.skip(reason)
    for name, value in hailo_runtime.environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    (tmp_path / "fitted").touch()
    return tmp_path


@pytest.fixture
def model(device: Path, clock: ManualClock) -> Iterator[HailoModel]:  # noqa: ARG001 - it has to be there first
    opened = HailoModel(
        hailo_runtime.MODEL_FILE,
        CARD.sha256,
        tuple(CARD.labels.values()),
        CARD.min_score,
        clock.boottime_ns,
    )
    yield opened
    opened.close()


def failure_of(model: HailoModel) -> DriverError:
    with pytest.raises(DriverError) as caught:
        model.infer(GREY)
    return caught.value


def test_while_the_model_is_loaded_the_device_is_busy_and_nobody_waits(model: HailoModel) -> None:
    assert failure_of(model).kind == "busy"
    wait_for_hailo(model)
    assert model.input_size_px() == (300, 300)
    assert model.infer(GREY) == ()


def test_a_missing_device_is_tried_again_after_a_while_and_recovers(
    model: HailoModel, device: Path, clock: ManualClock
) -> None:
    (device / "fitted").unlink()
    error = wait_for_hailo(model)
    assert error is not None
    assert "HAILO_OUT_OF_PHYSICAL_DEVICES" in str(error)
    (device / "fitted").touch()
    assert failure_of(model) is error
    clock.advance_s(MIN_PAUSE_NS / 1e9 + 1)
    assert failure_of(model) is error  # until the model is loaded
    assert wait_for_hailo(model, after=error) is None
    assert model.infer(GREY) == ()


def test_a_silent_device_times_out_and_its_process_ends(
    model: HailoModel, device: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_for_hailo(model)
    monkeypatch.setattr(accelerator, "INFER_TIMEOUT_S", 2.0)
    pid = model.child_pid
    assert pid is not None
    (device / "silent").touch()
    error = failure_of(model)
    assert error.kind == "timeout"
    assert "no result within 2 s" in str(error)
    assert not Path(f"/proc/{pid}").exists()


def test_a_pass_that_fails_ends_the_process_with_its_reason(
    model: HailoModel, device: Path
) -> None:
    wait_for_hailo(model)
    (device / "broken").touch()
    assert "HAILO_INTERNAL_FAILURE" in str(failure_of(model))


def test_a_killed_process_is_an_error(model: HailoModel) -> None:
    wait_for_hailo(model)
    assert model.child_pid is not None
    os.kill(model.child_pid, signal.SIGKILL)
    assert failure_of(model).kind == "crashed"


def test_a_file_that_is_no_model_is_named(device: Path, clock: ManualClock) -> None:
    (device / "street.hef").write_bytes(b"no model")
    model = HailoModel(
        device / "street.hef", sha256_hex(b"no model"), (0,), 0.25, clock.boottime_ns
    )
    error = wait_for_hailo(model)
    model.close()
    assert "HAILO_INVALID_HEF" in str(error)


def test_a_file_that_was_replaced_since_is_not_loaded_again(
    device: Path, clock: ManualClock
) -> None:
    """By an update of its package: receipts would name the model of before."""
    file = device / "street.hef"
    file.write_bytes(hailo_runtime.MODEL_FILE.read_bytes())
    model = HailoModel(file, CARD.sha256, (0,), CARD.min_score, clock.boottime_ns)
    assert wait_for_hailo(model) is None
    file.write_bytes(file.read_bytes() + b"newer")
    assert model.child_pid is not None
    os.kill(model.child_pid, signal.SIGKILL)
    crashed = failure_of(model)
    clock.advance_s(MIN_PAUSE_NS / 1e9 + 1)
    error = wait_for_hailo(model, after=crashed)
    model.close()
    assert error is not None
    assert error.kind == "unsupported"
    assert ": not loaded" in str(error)


def test_a_process_that_lies_about_its_model_is_an_error_of_the_device(clock: ManualClock) -> None:
    """No memory for a picture of the size that it names."""
    model = HailoModel(
        Path("x"), "0" * 64, (0,), 0.25, clock.boottime_ns, new_interpreter(HOSTILE_CHILD)
    )
    error = wait_for_hailo(model)
    model.close()
    assert error is not None
    assert error.kind == "crashed"


def test_the_objects_of_each_class_are_clipped_and_sorted_and_others_are_left_out() -> None:
    rows: list[list[list[float]]] = [[] for _ in range(80)]
    rows[2] = [[0.1, 0.2, 0.3, 0.4, 0.5], [0.1, 0.2, 0.3, 0.4, 0.1], [-0.5, -1, 0.5, 0.5, 0.9]]
    rows[1] = [[0.1, 0.2, 0.3, 0.4, 0.99]]
    rows[7] = [[0.5, 0.5, 0.5, 0.9, 0.9], [0.1, float("nan"), 0.3, 0.4, 0.9]]
    found = parse_output(rows, SETTINGS, "hailo")
    assert [(one.class_number, one.score) for one in found] == [(2, 0.9), (2, 0.5)]
    assert (found[0].x, found[0].y, found[0].w, found[0].h) == (0.0, 0.0, 0.5, 0.5)


@pytest.mark.parametrize("output", [{"a": 1}, np.zeros((8400, 84)), [[]]])
def test_a_model_without_suppression_by_class_is_unsupported(output: object) -> None:
    with pytest.raises(DriverError, match="suppression by class") as caught:
        parse_output(output, SETTINGS, "hailo")
    assert caught.value.kind == "unsupported"
