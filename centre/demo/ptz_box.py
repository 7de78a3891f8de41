"""The box of the demo with a head: its configuration as a file, and its camera and head out of it."""

import json
import shutil
from pathlib import Path
from string import Template
from typing import Any

import msgspec

from agent.base.clock import Clock
from agent.capture.camera_source import CameraSource, sources
from agent.config import configuration
from agent.config.configuration import Config
from agent.config.heads import FieldOfView
from centre.demo.files import DemoFiles
from centre.demo.film import SCENES
from centre.demo.ptz_script import PRESETS, Script
from centre.demo.turning_street import TurningStreet
from drivers.contracts import Camera, Wanted
from drivers.simulated.motion import HeadMotion
from drivers.street.surround import Around
from drivers.transcoding import open_transcoded
from drivers.visca_options import Options


def written_config(files: DemoFiles, broker_url: str, script: Script) -> Config:
    """What a technician would write for this box: written, and read as the agent reads it."""
    files.scenes.mkdir()
    for preset in PRESETS:
        name = f"ptz_{preset}.toml"
        shutil.copyfile(SCENES / name, files.scenes / name)
    port = (files.state / "mast").absolute()
    text = Template((SCENES / "ptz.toml").read_text(encoding="utf-8")).substitute(
        broker=broker_url,
        port=_quotable(port),
        lease_s=script.lease_s,
        dwell_s=script.dwell_s,
    )
    files.config.write_text(text, encoding="utf-8")
    return configuration.load(files.config)


def visca_options(config: Config) -> Options:
    """How its head is built."""
    (head,) = config.head
    return msgspec.convert(head.options, Options)


def turning_source(
    config: Config, clock: Clock, body: HeadMotion, street: "Street"
) -> CameraSource:
    """Its camera, which sees what the head's body looks at, encoded as a camera would."""
    (source,) = sources(config, clock, "demo")
    options, fov = street, config.head[0].fov_deg or FieldOfView(wide=60, tele=60)

    def open_frames(wanted: Wanted) -> Camera:
        return TurningStreet(
            options.paints, options.size_px, options.fps, body, fov, wanted, clock.boottime_ns
        )

    def open_main(wanted: Wanted) -> Camera:
        return open_transcoded(f"camera {source.config.name!r}", open_frames, wanted)

    return msgspec.structs.replace(source, open_main=open_main)


class Street:
    """The rendered street in the size and pace that the configuration says. It takes some seconds."""

    def __init__(self, config: Config) -> None:
        options: dict[str, Any] = config.camera[0].options
        self.size_px: tuple[int, int] = (options["width_px"], options["height_px"])
        self.fps = float(options["fps"])
        self.paints = Around(*self.size_px)


def _quotable(path: Path) -> str:
    """A path between the quotation marks of a TOML string, which escapes as JSON does."""
    return json.dumps(str(path), ensure_ascii=False)[1:-1]
