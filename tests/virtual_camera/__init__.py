"""The real Picamera2 on libcamera's virtual pipeline, where there is no camera module.

The pipeline is part of Debian's libcamera and sleeps until a file of root's describes its cameras.
`boot/` changes Picamera2 in the driver's child, which gets it by PYTHONPATH, as any program could;
the product knows nothing of it.
"""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

BOOT_FOLDER = Path(__file__).parent / "boot"
LOCK_FILE = Path(tempfile.gettempdir()) / "vigie-virtual-camera.lock"
PIPELINE_FILE = Path("/usr/share/libcamera/pipeline/virtual/virtual.yaml")

CAMERA_TEMPLATE = """\
"{name}":
  supported_formats:
  - {{width: 1920, height: 1080, frame_rates: [1, 60]}}
  - {{width: 640, height: 360, frame_rates: [1, 60]}}
  - {{width: 320, height: 240, frame_rates: [1, 60]}}
  {shows}
  model: "{name}"
"""


def skip_reason() -> str | None:
    """Why there can be no virtual camera here, None where there can."""
    if find_spec("libcamera") is None or find_spec("picamera2") is None:
        return "python3-libcamera or Picamera2 is missing, see `make setup-test`"
    if not os.access(PIPELINE_FILE.parents[2], os.W_OK):
        return f"only root may describe virtual cameras in {PIPELINE_FILE.parents[2]}"
    return None


def picamera2_environment() -> dict[str, str]:
    """Return the environment in which a child process runs Picamera2 on the pipeline."""
    before = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": f"{BOOT_FOLDER}{os.pathsep}{before}" if before else str(BOOT_FOLDER)}


@contextmanager
def installed_pipeline(pictures: Path | None = None) -> Iterator[None]:
    """One user at a time on this machine: the file is the system's.

    The cameras `Virtual0`, which shows moving lines, and with `pictures` `Virtual1`, which shows
    the JPEG files 0.jpg, 1.jpg, ... of that folder, each four times. The previous file is restored.
    """
    text = "%YAML 1.1\n---\n" + CAMERA_TEMPLATE.format(
        name="Virtual0", shows='test_pattern: "lines"'
    )
    if pictures is not None:
        text += CAMERA_TEMPLATE.format(name="Virtual1", shows=f'frames: {{path: "{pictures}/"}}')
    with LOCK_FILE.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = PIPELINE_FILE.read_text() if PIPELINE_FILE.exists() else None
        PIPELINE_FILE.parent.mkdir(parents=True, exist_ok=True)
        PIPELINE_FILE.write_text(text)
        try:
            yield
        finally:
            if before is None:
                PIPELINE_FILE.unlink()
            else:
                PIPELINE_FILE.write_text(before)
