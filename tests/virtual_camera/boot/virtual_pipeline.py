"""Patches that the real Picamera2 needs on libcamera 0.4's virtual pipeline, and a sensor's pace.

- Buffers are of memfd: there is no DMA heap. Those whose metadata libcamera 0.4 left uninitialised
  are not used, because Picamera2 would drop their pictures.
- The pipeline has no raw stream.
- It fills a buffer as soon as it gets one, and knows no frame rate: requests are handed to it one in
  a frame's time, as a sensor would take them.

A test tells it how to misbehave by files in the folder that VIRTUAL_CAMERA names:
`silent`: no request is filled any more. `step_s`: seconds from one picture to the next. `broken`: reading a picture's metadata raises.
`uploading`: the camera does not start while it is there.
`metadata.json`: joined to each picture's metadata, such as `{"Lux": 3.5}`.
"""

import json
import mmap
import os
import threading
import time
from collections import deque
from pathlib import Path
from types import ModuleType
from typing import Any

import libcamera
from picamera2.allocators.allocator import Allocator, Sync
from picamera2.request import CompletedRequest

SUCCESS = libcamera.FrameMetadata.Status.Success
DEFAULT_STEP_S = 1 / 30
RAW_SIZE_PX = (2028, 1520)
"""Of an IMX500's binned mode: the pipeline has no raw stream."""
FOLDER = Path(os.environ.get("VIRTUAL_CAMERA", "/nonexistent"))


class MemfdAllocator(Allocator):
    """Buffers of anonymous memory, two planes each."""

    def __init__(self) -> None:
        super().__init__()
        self.frame_buffers: dict[Any, list[Any]] = {}
        self.mapped_buffers: dict[Any, mmap.mmap] = {}
        self.sync = MemfdSync
        self._unusable_buffers: list[Any] = []
        self._fds: list[int] = []

    def allocate(self, libcamera_config: Any, _use_case: str) -> None:
        self.close()
        for stream in libcamera_config:
            usable: list[Any] = []
            while len(usable) < stream.buffer_count:
                buffer, fd = _buffer(stream)
                if buffer.metadata.status != SUCCESS:
                    self._unusable_buffers.append(buffer)
                    os.close(fd)
                    continue
                self._fds.append(fd)
                self.mapped_buffers[buffer] = mmap.mmap(fd, stream.frame_size)
                usable.append(buffer)
            self.frame_buffers[stream.stream] = usable

    def buffers(self, stream: Any) -> list[Any]:
        return self.frame_buffers[stream]

    def close(self) -> None:
        for fd in self._fds:
            os.close(fd)
        self._fds, self.frame_buffers, self.mapped_buffers = [], {}, {}


class MemfdSync(Sync):
    """Nothing to wait for."""

    def __init__(self, allocator: MemfdAllocator, buffer: Any, _write: bool) -> None:
        self._mapped = allocator.mapped_buffers[buffer]

    def __enter__(self) -> mmap.mmap:
        return self._mapped

    def __exit__(self, *_: object) -> None:
        pass


def _buffer(stream: Any) -> tuple[Any, int]:
    luma_bytes = stream.stride * stream.size.height
    fd = os.memfd_create("virtual camera", os.MFD_CLOEXEC)
    os.ftruncate(fd, stream.frame_size)
    planes = []
    for offset, length in ((0, luma_bytes), (luma_bytes, stream.frame_size - luma_bytes)):
        plane = libcamera.FrameBuffer.Plane()
        plane.fd, plane.offset, plane.length = fd, offset, length
        planes.append(plane)
    return libcamera.FrameBuffer(planes), fd


class PacedCamera:
    """A libcamera camera whose requests are filled one in a frame's time."""

    def __init__(self, camera: Any) -> None:
        self._camera = camera
        self._requests: deque[Any] = deque()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.step_s = DEFAULT_STEP_S

    def __getattr__(self, name: str) -> Any:
        return getattr(self._camera, name)

    def start(self, controls: dict[Any, Any]) -> None:
        while (FOLDER / "uploading").exists():
            time.sleep(0.02)
        self._camera.start(controls)
        limits_us = controls.get(libcamera.controls.FrameDurationLimits)
        self.step_s = limits_us[0] / 1e6 if limits_us else DEFAULT_STEP_S
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._submit_paced, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        self._requests.clear()
        self._camera.stop()

    def queue_request(self, request: Any) -> None:
        self._requests.append(request)

    def _submit_paced(self) -> None:
        due_s = time.monotonic()
        while not self._stopping.wait(max(0.0, due_s - time.monotonic())):
            step_file = FOLDER / "step_s"
            interval_s = float(step_file.read_text()) if step_file.exists() else self.step_s
            due_s = max(due_s + interval_s, time.monotonic() - interval_s)
            if self._requests and not (FOLDER / "silent").exists():
                self._camera.queue_request(self._requests.popleft())


def change(picamera2: ModuleType) -> None:
    """Make Picamera2 run on the virtual pipeline."""
    camera_class = picamera2.Picamera2
    original_grab, original_modes = camera_class._grab_camera, camera_class._get_raw_modes
    original_get_metadata = CompletedRequest.get_metadata
    original_set_controls = camera_class.set_controls
    original_configuration = camera_class.camera_configuration

    def grab_paced(self: Any, index: int) -> Any:
        camera = original_grab(self, index)
        return PacedCamera(camera) if camera.id.startswith("Virtual") else camera

    def modes_without_raw(self: Any) -> list[dict[str, Any]]:
        if not self.camera.id.startswith("Virtual"):
            return original_modes(self)
        formats = self.camera.generate_configuration([libcamera.StreamRole.VideoRecording]).at(0)
        return [
            {"format": str(pixels), "size": (size.width, size.height)}
            for pixels in formats.formats.pixel_formats
            for size in formats.formats.sizes(pixels)
        ]

    def configuration_with_raw(self: Any) -> Any:
        return original_configuration(self) | {"raw": {"size": RAW_SIZE_PX}}

    def set_controls(self: Any, controls: dict[str, Any]) -> None:
        original_set_controls(self, controls)
        limits_us = controls.get("FrameDurationLimits")
        if limits_us and isinstance(self.camera, PacedCamera):
            self.camera.step_s = limits_us[0] / 1e6

    def get_metadata(self: Any) -> dict[str, Any]:
        if (FOLDER / "broken").exists():
            raise RuntimeError("the virtual camera was told to break")
        metadata_file = FOLDER / "metadata.json"
        return original_get_metadata(self) | (
            json.loads(metadata_file.read_text()) if metadata_file.exists() else {}
        )

    picamera2.DmaAllocator = MemfdAllocator
    camera_class._grab_camera = grab_paced
    camera_class._get_raw_modes = modes_without_raw
    CompletedRequest.get_metadata = get_metadata
    camera_class.set_controls = set_controls
    camera_class.camera_configuration = configuration_with_raw
