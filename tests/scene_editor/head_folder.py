"""The folder of a head in the rendered street, as `vigie scene edit FOLDER` takes it: the presets of the demo."""

import shutil
from pathlib import Path

import cv2
import msgspec

from agent.config.heads import FieldOfView, SweepConfig
from agent.ptz.automation.sweep import plan_sweep
from agent.ptz.panorama.shot import Shot
from agent.ptz.panorama.stitch import render_panorama
from agent.ptz.preset_store import Preset
from agent.ptz.ptz_args import PtzResult
from centre.demo.ptz_script import PRESETS
from centre.demo.video_source import SCENES_FOLDER
from drivers.contracts import Pose
from simulation.street.renderer import SceneConditions
from simulation.surround.surround_renderer import SurroundRenderer

FOV = FieldOfView(wide=60.0, tele=20.0)
CLEAR = SceneConditions(night=False, rain=0.0, noise=0.0)
MAX_PANORAMA_BYTES = 200_000


def write_head_folder(
    folder: Path, size_px: tuple[int, int] = (320, 180), px_per_deg: float = 4.0
) -> Path:
    """Write presets, pictures, scenes and panorama, and return the folder."""
    folder.mkdir(exist_ok=True)
    street = SurroundRenderer(*size_px, CLEAR, 1, px_per_deg=px_per_deg)
    poses = plan_sweep(None, FOV, SweepConfig(tilt_deg=-10.0, overlap=0.15))
    shots = [Shot(pose=pose, error_deg=0.1, image=_picture(street, pose)) for pose in poses]
    panorama = render_panorama(shots, FOV, MAX_PANORAMA_BYTES)
    (folder / "panorama.jpg").write_bytes(panorama)
    presets = tuple(
        Preset(
            name=name,
            pose=Pose(pan_deg=pan_deg, tilt_deg=tilt_deg),
            number=None,
            stored_time="2026-11-03T07:41:05Z",
            stored_by="jonas",
        )
        for name, (pan_deg, tilt_deg) in PRESETS.items()
    )
    (folder / "presets.json").write_bytes(msgspec.json.encode(PtzResult(presets=presets)))
    for preset in presets:
        cv2.imwrite(str(folder / f"{preset.name}.jpg"), _picture(street, preset.pose))
        shutil.copyfile(SCENES_FOLDER / f"ptz_{preset.name}.toml", folder / f"{preset.name}.toml")
    return folder


def _picture(street: SurroundRenderer, pose: Pose) -> "cv2.typing.MatLike":
    view = street.panned_view(pose.pan_deg, pose.tilt_deg, FOV.wide)
    return street.render_static(view)
