"""agent.detection.model_process: a foreign model's file ends its own process at most."""

import io
import os
import zipfile
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.base.sha256 import sha256_hex
from agent.detection.model_card import MODELS_FOLDER, ModelCard, ModelRefused, load_card
from agent.detection.model_process import ModelProcess
from drivers.child import landlock
from drivers.child.confinement import OOM_SCORE

EXAMPLES = 100 if os.environ.get("VIGIE_CRASH") == "long" else 4
SSD = MODELS_FOLDER / "ssdlite_mobilenet_v2.tflite"
CONTENT = SSD.read_bytes()
CARD = load_card("ssdlite_mobilenet_v2")


def card_of(content: bytes) -> ModelCard:
    return msgspec.structs.replace(CARD, sha256=sha256_hex(content))


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("picture") / "noise.ppm"
    noise = np.random.default_rng(1).integers(0, 255, (30, 40, 3), np.uint8)
    path.write_bytes(b"P6 40 30 255\n" + noise.tobytes())
    return path


def test_it_reports_the_tensors_of_a_file() -> None:
    with ModelProcess("model", [SSD], 60) as process:
        facts = process.inspect(SSD)
    assert [(one.shape, one.dtype) for one in facts.inputs] == [((1, 300, 300, 3), "uint8")]
    assert sorted(one.shape for one in facts.outputs) == [(1,), (1, 25), (1, 25), (1, 25, 4)]
    assert facts.class_names == ()


@pytest.mark.skipif(landlock.abi_version() == 0, reason="needs Landlock")
def test_it_reads_no_file_that_it_was_not_given(tmp_path: Path) -> None:
    other = tmp_path / "other.tflite"
    other.write_bytes(CONTENT)
    with (
        ModelProcess("model", [SSD], 60) as process,
        pytest.raises(ModelRefused, match="Permission denied"),
    ):
        process.inspect(other)


def test_it_ends_before_the_agent_if_memory_runs_out() -> None:
    """A file may take all that its bounds allow, and they share the memory of the agent's service."""
    with ModelProcess("model", [SSD], 60) as process:
        process.load(CARD, SSD)
        children = [path.read_text().split() for path in Path("/proc/self/task").glob("*/children")]
        scores = {
            Path(f"/proc/{pid}/oom_score_adj").read_text() for pids in children for pid in pids
        }
    assert f"{OOM_SCORE}\n" in scores


def test_one_whose_passes_fail_is_refused_before_a_camera_needs_one(tmp_path: Path) -> None:
    """The runtime reads it, and refuses what it does: here a number of classes that its tensors do not have."""
    content = bytearray(CONTENT)
    place = CONTENT.index(b"num_classes") + 129
    assert content[place] == len(CARD.labels)
    content[place] = 2
    file = tmp_path / "own.tflite"
    file.write_bytes(content)
    with (
        ModelProcess("model", [file], 60) as process,
        pytest.raises(ModelRefused, match=r": a pass fails: .*num_classes"),
    ):
        process.load(card_of(bytes(content)), file)


def test_one_of_another_hash_than_its_card_is_not_loaded(tmp_path: Path) -> None:
    """Also if it was replaced after its hash was compared: figures and receipts would name another model."""
    file = tmp_path / "own.tflite"
    file.write_bytes(CONTENT + b"x")
    with (
        ModelProcess("model", [file], 60) as process,
        pytest.raises(ModelRefused, match=r": not loaded$"),
    ):
        process.load(CARD, file)


def test_one_with_a_class_that_identifies_people_is_refused_also_with_a_card_of_road_users(
    tmp_path: Path,
) -> None:
    file = tmp_path / "own.tflite"
    metadata = io.BytesIO()
    with zipfile.ZipFile(metadata, "w") as archive:
        archive.writestr("labels.TXT", "face\nbody\n")
    content = CONTENT + metadata.getvalue()
    file.write_bytes(content)
    with (
        ModelProcess("model", [file], 60) as process,
        pytest.raises(ModelRefused, match="its class 'face': identifies people"),
    ):
        process.load(card_of(content), file)


def test_one_that_uses_up_its_processor_time_is_ended(picture: Path) -> None:
    """Two seconds are gone long before 2,000 passes."""
    with ModelProcess("model 'slow'", [SSD, picture], 2) as process:
        process.load(CARD, SSD)
        with pytest.raises(ModelRefused, match=r"^model 'slow': .*SIG(XCPU|KILL)$"):
            _detect_often(process, picture)
        with pytest.raises(ModelRefused):
            process.detect(picture)


def _detect_often(process: ModelProcess, picture: Path) -> None:
    for _ in range(2000):
        process.detect(picture)


@given(data=st.data())
@settings(max_examples=EXAMPLES, deadline=None)
def test_a_damaged_file_is_refused_or_runs(
    data: st.DataObject, picture: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The structure is at the file's ends, the weights between them."""
    content = bytearray(CONTENT)
    near = st.integers(0, 20_000)
    places = st.one_of(near, near.map(lambda n: len(CONTENT) - 1 - n))
    for place in data.draw(st.lists(places, min_size=1, max_size=4)):
        content[place] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(1, len(content))) :]
    file = tmp_path_factory.mktemp("damaged") / "damaged.tflite"
    file.write_bytes(content)
    reason = _first_refusal(file, picture)
    assert reason is None or (reason.startswith("model ") and "\n" not in reason)
    file.unlink()


def _first_refusal(file: Path, picture: Path) -> str | None:
    with ModelProcess("model 'damaged.tflite'", [file, picture], 60) as process:
        try:
            process.inspect(file)
            process.load(card_of(file.read_bytes()), file)
            process.detect(picture)
        except ModelRefused as error:
            return str(error)
    return None
