"""A Hailo for the tests: `hailo_platform` in this folder, under picamera2's real wrapper."""

import os
from pathlib import Path

import msgspec
import tomlkit

from agent.base.sha256 import sha256_hex
from agent.detection import accelerator_card, model_card
from agent.detection.accelerator_card import AcceleratorCard, AcceleratorInput
from tests import virtual_camera

MODEL_FILE = model_card.MODELS_FOLDER / "ssdlite_mobilenet_v2.tflite"


def environment(device: Path) -> dict[str, str]:
    """Return the environment of a process that has this device: the folder that commands it."""
    paths = (
        str(Path(__file__).parent),
        str(virtual_camera.BOOT_FOLDER),
        os.environ.get("PYTHONPATH"),
    )
    return {
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "HAILO_DEVICE": str(device),
    }


def write_card(path: Path) -> None:
    """Write that card as a file, under its name."""
    own = card()
    upstream = (accelerator_card.CARDS_FOLDER / "hailo_yolox_s.toml").read_text(encoding="utf-8")
    tables = tomlkit.parse(upstream)
    tables["name"] = path.stem
    tables["labels"] = {**own.labels}
    tables["input"] = msgspec.to_builtins(own.input)
    path.parent.mkdir()
    path.write_text(tomlkit.dumps(tables), encoding="utf-8")


def card() -> AcceleratorCard:
    """Return a card of the model that runs on this device."""
    upstream = accelerator_card.load_card("hailo_yolox_s")
    size = AcceleratorInput(width_px=300, height_px=300)
    digest = sha256_hex(MODEL_FILE.read_bytes())
    labels = model_card.load_card(MODEL_FILE.stem).labels
    return msgspec.structs.replace(
        upstream, input=size, labels=labels, file=str(MODEL_FILE), sha256=digest
    )
