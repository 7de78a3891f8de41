"""Files and devices of the demo's box with a head: its configuration, its camera, and the folder of its presets."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Any

import cv2
import msgspec

from agent.base.clock import Clock
from agent.base.errors import UserError
from agent.capture.camera_source import CameraSource, build_sources
from agent.config import configuration
from agent.config.configuration import Config
from agent.config.heads import FieldOfView
from agent.ptz.motion.field_of_view import horizontal_fov_deg
from agent.ptz.preset_store import Preset
from agent.ptz.ptz_args import PtzResult
from centre.demo.files import DemoFiles
from centre.demo.ptz_devices import HeadMountedStreetCamera
from centre.demo.ptz_script import PRESETS, PtzScript
from centre.demo.video_source import SCENES_FOLDER
from centre.preset_page import PANORAMA_NAME, PRESETS_NAME
from drivers.contracts import Camera, StreamRequest
from drivers.transcoding import open_transcoded
from drivers.visca_options import Options
from simulation.heads.head_simulator import HeadSimulator
from simulation.surround.surround_renderer import SurroundRenderer


def write_config(files: DemoFiles, broker_url: str, script: PtzScript) -> Config:
    """Write the configuration that a technician would write, and load it as the agent does."""
    files.scenes.mkdir()
    for preset in PRESETS:
        name = f"ptz_{preset}.toml"
        shutil.copyfile(SCENES_FOLDER / name, files.scenes / name)
    port_path = (files.state / "head-port").absolute()
    text = Template((SCENES_FOLDER / "ptz.toml").read_text(encoding="utf-8")).substitute(
        broker=broker_url,
        control_ca=_escape_toml(files.control_ca.absolute()),
        port=_escape_toml(port_path),
        lease_s=script.lease_s,
        dwell_s=script.dwell_s,
    )
    files.config.write_text(text, encoding="utf-8")
    return configuration.load(files.config)


def visca_options(config: Config) -> Options:
    """Return the driver's options of the head."""
    (head,) = config.head
    return msgspec.convert(head.options, Options)


def build_camera_source(
    config: Config, clock: Clock, head_motion: HeadSimulator, street: "RenderedStreet"
) -> CameraSource:
    """Return the camera, whose view follows the simulated head, encoded as a camera would."""
    (source,) = build_sources(config, clock, "demo")
    fov = config.head[0].fov_deg or FieldOfView(wide=60, tele=60)

    def open_frames(wanted: StreamRequest) -> Camera:
        return HeadMountedStreetCamera(
            street.painter,
            street.size_px,
            street.fps,
            head_motion,
            fov,
            wanted,
            clock.boottime_ns,
        )

    def open_main(wanted: StreamRequest) -> Camera:
        return open_transcoded(f"camera {source.config.name!r}", open_frames, wanted)

    return msgspec.structs.replace(source, open_main=open_main)


class RenderedStreet:
    """The rendered street in the configured size and frame rate. Opening takes some seconds."""

    def __init__(self, config: Config) -> None:
        options: dict[str, Any] = config.camera[0].options
        self.size_px: tuple[int, int] = (options["width_px"], options["height_px"])
        self.fps = float(options["fps"])
        self.painter = SurroundRenderer(*self.size_px)


def _escape_toml(path: Path) -> str:
    """Escape a path for a TOML basic string, which escapes as JSON does."""
    return json.dumps(str(path), ensure_ascii=False)[1:-1]


def write_preset_views(
    files: DemoFiles, presets: Sequence[Preset], street: SurroundRenderer, fov: FieldOfView
) -> None:
    """Write the folder that `vigie scene edit` reads: pictures, scenes and the panorama.

    Writes nothing if no preset is stored. Raises: UserError.
    """
    if not presets:
        return
    folder = files.presets
    try:
        folder.mkdir()
        (folder / PRESETS_NAME).write_bytes(msgspec.json.encode(PtzResult(presets=tuple(presets))))
        for preset in presets:
            pose = preset.pose
            fov_deg = horizontal_fov_deg(fov, pose.zoom or 0.0)
            picture = street.render(pose.pan_deg, pose.tilt_deg, fov_deg, 0.0)
            cv2.imwrite(str(folder / f"{preset.name}.jpg"), picture)
            scene = files.scenes / f"ptz_{preset.name}.toml"
            if scene.exists():
                shutil.copyfile(scene, folder / f"{preset.name}.toml")
        if files.panorama.exists():
            shutil.copyfile(files.panorama, folder / PANORAMA_NAME)
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror or error}") from error
