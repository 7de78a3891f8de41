"""Configuration and scene of a measured box."""

import json
from pathlib import Path
from typing import Any

import msgspec

BOX = "bench-1"
CAMERA = "street"

SCENE = "\n".join(
    f'[[line]]\nname = "{name}"\nfrom = [{x}, 0.0]\nto = [{x}, 1.0]\nevents = true\n'
    for name, x in (("left", 0.25), ("middle", 0.5), ("right", 0.75))
)
"""Lines from top to bottom, crossed by everyone on the pavement."""


class CameraSetup(msgspec.Struct, frozen=True, kw_only=True):
    """Setup of the box's one camera. With `sub`, detection runs on that video."""

    video: Path
    sub: Path | None = None
    detect: bool = True
    record: bool = True
    pace: str = "real"
    loop: bool = False


def write_config(folder: Path, camera: CameraSetup, broker: str, *, cameras: int = 1) -> Path:
    """Write a configuration and its scene into a folder. Return the configuration's path.

    More than one camera all play the same video.

    No centre acknowledges at `broker`, so the broker's acknowledgement is used.
    """
    folder.mkdir(parents=True)
    (folder / "street.scene.toml").write_text(SCENE, encoding="utf-8")
    options = {"path": str(camera.video), "pace": camera.pace, "loop": camera.loop}
    tables: dict[str, Any] = {
        "name": CAMERA,
        "driver": "replay",
        "record": camera.record,
        "options": options,
        "detect": {"enabled": camera.detect, "scene": "street.scene.toml"},
    }
    if camera.sub is not None:
        tables["detect_options"] = options | {"path": str(camera.sub)}
    file = folder / "box.toml"
    file.write_text(
        f'[box]\nid = "{BOX}"\nsite = "bench"\nstate = "state"\n'
        f'[broker]\nurl = "{broker}"\nack = "broker"\n'
        + "".join(
            f"[[camera]]\n{_to_toml(tables | {'name': name})}"
            for name in (CAMERA, *(f"{CAMERA}-{number}" for number in range(2, cameras + 1)))
        ),
        encoding="utf-8",
    )
    return file


def _to_toml(table: dict[str, Any]) -> str:
    """Format keys and values, tables inline. JSON scalars are TOML scalars too."""

    def value(item: Any) -> str:
        if isinstance(item, dict):
            return "{ " + ", ".join(f"{k} = {value(v)}" for k, v in item.items()) + " }"
        return json.dumps(item)

    return "".join(f"{key} = {value(of)}\n" for key, of in table.items())
