"""The folder of the demo's presets, as `vigie scene edit` reads it: pictures, scenes and the panorama."""

import shutil
from collections.abc import Sequence

import cv2
import msgspec

from agent.base.errors import UserError
from agent.config.heads import FieldOfView
from agent.ptz.motion.field_of_view import horizontal_fov_deg
from agent.ptz.preset_store import Preset
from agent.ptz.ptz_args import PtzResult
from centre.demo.files import DemoFiles
from centre.preset_page import PANORAMA_NAME, PRESETS_NAME
from simulation.surround.surround_renderer import SurroundRenderer


def write_preset_views(
    files: DemoFiles, presets: Sequence[Preset], street: SurroundRenderer, fov: FieldOfView
) -> None:
    """Write the folder, or nothing if no preset is stored. Raises: UserError."""
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
