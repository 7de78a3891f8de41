"""The box of the demo with a head: its configuration as a file, and its camera and head out of it."""

import json
import shutil
from pathlib import Path
from string import Template
from typing import Any

import msgspec

from agent.base.clock import Clock
from agent.capture.camera_source import CameraSource, build_sources
from agent.config import configuration
from agent.config.configuration import Config
from agent.config.heads import FieldOfView
from centre.demo.files import DemoFiles
from centre.demo.ptz_script import PRESETS, PtzScript
from centre.demo.street_ptz_camera import HeadMountedStreetCamera
from centre.demo.video_source import SCENES_FOLDER
from drivers.contracts import Camera, StreamRequest
from drivers.rendered_street.surround_renderer import SurroundRenderer
from drivers.simulated.motion import HeadSimulator
from drivers.transcoding import open_transcoded
from drivers.visca_options import Options


def write_config(files: DemoFiles, broker_url: str, script: PtzScript) -> Config:
    """What a technician would write for this box: written, and read as the agent reads it."""
    files.scenes.mkdir()
    for preset in PRESETS:
        name = f"ptz_{preset}.toml"
        shutil.copyfile(SCENES_FOLDER / name, files.scenes / name)
    port_path = (files.state / "mast").absolute()
    text = Template((SCENES_FOLDER / "ptz.toml").read_text(encoding="utf-8")).substitute(
        broker=broker_url,
        port=_escape_toml(port_path),
        lease_s=script.lease_s,
        dwell_s=script.dwell_s,
    )
    files.config.write_text(text, encoding="utf-8")
    return configuration.load(files.config)


def visca_options(config: Config) -> Options:
    """How its head is built."""
    (head,) = config.head
    return msgspec.convert(head.options, Options)


def build_camera_source(
    config: Config, clock: Clock, head_motion: HeadSimulator, street: "RenderedStreet"
) -> CameraSource:
    """Its camera, which sees what the head's body looks at, encoded as a camera would."""
    (source,) = build_sources(config, clock, "demo")
    rendered, fov = street, config.head[0].fov_deg or FieldOfView(wide=60, tele=60)

    def open_frames(wanted: StreamRequest) -> Camera:
        return HeadMountedStreetCamera(
            rendered.painter,
            rendered.size_px,
            rendered.fps,
            head_motion,
            fov,
            wanted,
            clock.boottime_ns,
        )

    def open_main(wanted: StreamRequest) -> Camera:
        return open_transcoded(f"camera {source.config.name!r}", open_frames, wanted)

    return msgspec.structs.replace(source, open_main=open_main)


class RenderedStreet:
    """The rendered street in the size and pace that the configuration says. It takes some seconds."""

    def __init__(self, config: Config) -> None:
        options: dict[str, Any] = config.camera[0].options
        self.size_px: tuple[int, int] = (options["width_px"], options["height_px"])
        self.fps = float(options["fps"])
        self.painter = SurroundRenderer(*self.size_px)


def _escape_toml(path: Path) -> str:
    """A path between the quotation marks of a TOML string, which escapes as JSON does."""
    return json.dumps(str(path), ensure_ascii=False)[1:-1]
