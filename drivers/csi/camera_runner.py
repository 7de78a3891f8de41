"""Runs a camera module: its pictures are masked, encoded, and copied for detection.

All of it is done on Picamera2's own thread, before a picture is encoded. An exception there ends that
thread; `child` ends the process then.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from drivers.av_stream import FrameSelector
from drivers.child import messages
from drivers.child.bounded_queue import MediaQueue
from drivers.child.control_channel import ControlChannel
from drivers.child.frame_memory import FrameMemory
from drivers.child.messages import SLOT_COUNT
from drivers.contracts import CameraReadings, SensorNetwork
from drivers.csi import controls, encoders, picamera2_setup
from drivers.csi.options import Options
from drivers.csi.picamera2_setup import CsiStream
from drivers.csi.readings import NightDetector, read_lux, to_readings
from drivers.csi.sensor_network import SETUP_ERRORS, SensorResults
from drivers.masking import WHOLE_PICTURE, MaskPainter
from drivers.media import NS_PER_S, Packet, Plane, Planes, Polygon, StreamInfo

NS_PER_US = 1000
PROGRESS_INTERVAL_S = 1.0
UPLOAD_STALLS_AFTER_S = 60.0
"""Time without progress after which an upload is no longer reported, so that the camera counts as silent."""
CONTROL_SET_COUNT = 2
"""Picamera2 takes new controls while it returns a buffer, which is on another thread with the hardware
encoder: controls that are set at that moment may be lost. So they are set again a second later."""


class CameraRunner:
    """One camera module, running as soon as it is constructed."""

    def __init__(
        self,
        display_name: str,
        settings: messages.MediaSettings,
        memory_fd: int,
        control: ControlChannel,
        queue: MediaQueue[Packet | msgspec.Struct],
        send: Callable[[msgspec.Struct], bool],
    ) -> None:
        """`send` sends a message past the queue. Raises: DriverError absent, busy, unsupported."""
        self._display_name = display_name
        self._settings = settings
        self._options = options = messages.from_raw(settings.options, Options)
        self._control = control
        self._queue = queue
        self._send = send
        self._picamera2 = picamera2_setup.import_picamera2(display_name)
        number, camera_id = picamera2_setup.find_camera(self._picamera2, options, display_name)
        self._network, self._network_error = _open_network(settings.network, camera_id)
        self._camera = picamera2_setup.open_camera(self._picamera2, number, display_name)
        self._streams = picamera2_setup.configure(
            self._camera, options, display_name, lores=settings.frames_fps > 0
        )
        self._selector = FrameSelector(settings.frames_fps)
        self._gop_ns = round(options.gop_s * NS_PER_S)
        self._masks: tuple[Polygon, ...] = settings.masks
        self._painters = {
            name: MaskPainter(settings.masks, display_name, lambda _t_ns: self._masks)
            for name in self._streams
        }
        self._night_rule = NightDetector(options.night)
        self._is_night = options.night.mode == "night"
        self._min_fps: float | None = None
        self._control_sets_left = 0
        self._announced = threading.Event()
        self._seq = 0
        self._dropped_frames = 0
        self._last_ns = -1
        self._last_second_ns = 0
        self._first_packet_us: int | None = None
        self._last_key_ns: int | None = None
        self._timestamp_key: Any = None
        self._encoder: encoders.PicameraEncoder | None = None
        self._memory = self._reserve_memory(memory_fd)
        self._start()

    def stop(self) -> None:
        """Stop the camera. It may hang."""
        self._camera.stop()

    def _reserve_memory(self, memory_fd: int) -> FrameMemory | None:
        lores = self._streams.get("lores")
        if lores is None:
            return None
        FrameMemory.reserve(memory_fd, lores.width_px, lores.height_px, SLOT_COUNT)
        return FrameMemory(memory_fd, lores.width_px, lores.height_px, SLOT_COUNT)

    def _start(self) -> None:
        """Set the controls, start the camera, and report how it was opened."""
        options = self._options
        supported = controls.supported_controls(
            controls.initial_controls(options)
            | controls.light_controls(options, night=self._is_night),
            self._camera.camera_controls,
        )
        self._camera.set_controls(supported.controls)
        kind = self._start_encoder() if self._settings.packets else None
        self._camera.pre_callback = self._on_picture
        opened = self._opened_message(kind, supported.missing)
        try:
            if self._network is None:
                self._camera.start()
                self._queue.put(opened)
            else:
                self._send(opened)
                self._start_with_network(self._network)
        except (RuntimeError, OSError) as error:
            raise picamera2_setup.to_driver_error(error, self._display_name) from error
        self._announced.set()

    def _start_with_network(self, network: SensorResults) -> None:
        """Start the camera, which uploads the network first; report the upload's progress meanwhile."""
        is_started = threading.Event()

        def report() -> None:
            progress, since_s = (-1, -1), time.monotonic()
            self._send(messages.Loading(done_bytes=0, total_bytes=0))
            while not is_started.wait(PROGRESS_INTERVAL_S):
                last, progress = progress, network.upload_progress()
                since_s = time.monotonic() if progress != last else since_s
                # Without a source of progress nothing is known of it: the parent has a limit of its own.
                if not progress[1] or time.monotonic() - since_s < UPLOAD_STALLS_AFTER_S:
                    done, total = progress
                    self._send(messages.Loading(done_bytes=done, total_bytes=total))

        reporter = threading.Thread(target=report, name="upload progress", daemon=True)
        reporter.start()
        try:
            self._camera.start()
        finally:
            is_started.set()

    def _start_encoder(self) -> encoders.EncoderKind:
        main = self._streams["main"]
        kind = encoders.choose_encoder(
            self._options,
            (main.width_px, main.height_px),
            has_hardware=encoders.has_hardware_encoder(),
            display_name=self._display_name,
        )
        self._encoder, output = encoders.open_encoder(
            kind, self._options, self._options.fps, self._on_packet
        )
        self._camera.start_encoder(self._encoder, output)
        return kind

    def _opened_message(
        self, kind: encoders.EncoderKind | None, missing_controls: tuple[str, ...]
    ) -> messages.Opened:
        main = self._streams["main"]
        lores = self._streams.get("lores", main)
        primary = main if kind else lores
        info = StreamInfo(
            codec="h264" if kind else "rawvideo",
            width_px=primary.width_px,
            height_px=primary.height_px,
            fps=self._options.fps,
            masked=bool(self._settings.masks) or self._settings.query_masks,
        )
        return messages.Opened(
            info=info,
            frame_width_px=lores.width_px,
            frame_height_px=lores.height_px,
            slots=SLOT_COUNT,
            encoder=kind,
            missing_controls=missing_controls,
            network_error=self._network_error,
        )

    def _on_picture(self, request: Any) -> None:
        """Process a picture as Picamera2's pre_callback: it is encoded when this returns."""
        self._announced.wait()
        # CLOCK_BOOTTIME by libcamera's control_ids_core.yaml, SensorTimestamp.
        t_ns = max(
            self._last_ns + 1, int(request.request.metadata[self._find_timestamp_key(request)])
        )
        self._last_ns = t_ns
        seq, self._seq = self._seq, self._seq + 1
        if self._settings.query_masks:
            masks = self._control.query_masks(
                lambda number: self._queue.put(messages.MasksQuery(number=number, t_ns=t_ns))
            )
            # Unknown masks hide everything.
            self._masks = WHOLE_PICTURE if masks is None else masks
        else:
            masks = self._control.take_masks(
                lambda number: self._queue.put(messages.MasksTaken(number=number))
            )
            self._masks = self._masks if masks is None else masks
        if self._network is not None:
            self._network.update_masks(self._masks, t_ns)
        if self._encoder is not None:
            if self._masks:
                self._paint_masks(request, "main", self._streams["main"])
            self._request_keyframe(self._encoder, t_ns)
        if self._memory is not None and self._selector.select(t_ns):
            self._copy_frame(request, self._memory, self._streams["lores"], seq, t_ns)
        if t_ns - self._last_second_ns >= NS_PER_S:
            self._last_second_ns = t_ns
            self._on_second(request.get_metadata(), t_ns)

    def _find_timestamp_key(self, request: Any) -> Any:
        """Return libcamera's key of the sensor's time."""
        if self._timestamp_key is None:
            self._timestamp_key = next(
                name for name in request.request.metadata if name.name == "SensorTimestamp"
            )
        return self._timestamp_key

    def _paint_masks(self, request: Any, name: str, stream: CsiStream) -> None:
        with self._picamera2.MappedArray(request, name, reshape=False) as mapped:
            luma, chroma = _buffer_views(mapped.array, stream)
            self._painters[name].paint_nv12(luma, chroma)
            del luma, chroma

    def _copy_frame(
        self, request: Any, memory: FrameMemory, stream: CsiStream, seq: int, t_ns: int
    ) -> None:
        slot = self._control.acquire_slot()
        if slot is None:
            self._dropped_frames += 1
            return
        with self._picamera2.MappedArray(
            request, "lores", reshape=False, write=bool(self._masks)
        ) as mapped:
            luma, chroma = _buffer_views(mapped.array, stream)
            self._painters["lores"].paint_nv12(luma, chroma)
            write_planar(luma, chroma, memory.writable_planes(slot))
            del luma, chroma
        inference = None
        if self._network is not None:
            metadata = request.get_metadata()
            inference = self._network.read(metadata, self._camera, "lores", t_ns)
            self._network.move(self._control.search_area, metadata, t_ns)
        self._queue.put(messages.FrameReady(slot=slot, seq=seq, t_ns=t_ns, inference=inference))

    def _request_keyframe(self, encoder: encoders.PicameraEncoder, t_ns: int) -> None:
        """Request a keyframe if one is due by time, or after packets were dropped.

        The encoder counts pictures, which may be slower at night.
        """
        if self._last_key_ns is None:
            return
        interval_ns = min(self._gop_ns, NS_PER_S) if self._queue.needs_keyframe else self._gop_ns
        if t_ns - self._last_key_ns >= interval_ns:
            self._last_key_ns = t_ns
            encoder.force_key_frame()

    def _on_packet(self, data: bytes, time_us: int, is_key: bool) -> None:  # noqa: FBT001 - GivePacket
        """Queue an access unit. Called on the encoder's thread."""
        if self._first_packet_us is None:
            self._first_packet_us = time_us
        t_ns = time_us * NS_PER_US
        if is_key:
            self._last_key_ns = t_ns
        stream_ns = (time_us - self._first_packet_us) * NS_PER_US
        self._queue.put(
            Packet(t_ns=t_ns, pts_ns=stream_ns, dts_ns=stream_ns, is_key=is_key, data=data)
        )

    def _on_second(self, metadata: dict[str, Any], t_ns: int) -> None:
        now = time.localtime() if self._options.night.clock == "local" else time.gmtime()
        is_night = self._night_rule.update(t_ns, read_lux(metadata), now.tm_hour * 60 + now.tm_min)
        self._control.read_pending()
        min_fps = self._control.min_fps
        if self._control.night is not None and self._options.night.mode != "day":
            is_night = self._control.night
        if (is_night, min_fps) != (self._is_night, self._min_fps):
            self._is_night, self._min_fps = is_night, min_fps
            self._control_sets_left = CONTROL_SET_COUNT
        if self._control_sets_left:
            self._control_sets_left -= 1
            changed = controls.light_controls(self._options, night=is_night, min_fps=min_fps)
            self._camera.set_controls(
                controls.supported_controls(changed, self._camera.camera_controls).controls
            )
        self._queue.put(messages.ReadingsUpdate(readings=self._readings(metadata)))

    def _readings(self, metadata: dict[str, Any]) -> CameraReadings:
        return to_readings(
            metadata,
            night=self._is_night,
            dropped_frames=self._dropped_frames,
            dropped_packets=self._queue.dropped_packets,
        )


def _open_network(
    request: SensorNetwork | None, camera_id: str
) -> tuple[SensorResults | None, str | None]:
    """Return the sensor's network, or the reason why there is none: the camera works without it."""
    if request is None:
        return None, None
    try:
        return SensorResults(request, camera_id), None
    except SETUP_ERRORS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        return None, reason[: messages.MAX_MESSAGE_CHARS]


def _buffer_views(buffer: Plane, stream: CsiStream) -> tuple[Plane, Plane]:
    return nv12_views(buffer, stream.width_px, stream.height_px, stream.stride_bytes)


def nv12_views(
    buffer: Plane, width_px: int, height_px: int, stride_bytes: int
) -> tuple[Plane, Plane]:
    """Return views of luma (H x W) and chroma (H/2 x W, Cb and Cr interleaved), without padding.

    Sizes are even.
    """
    luma_bytes = stride_bytes * height_px
    luma = buffer[:luma_bytes].reshape(height_px, stride_bytes)[:, :width_px]
    chroma = buffer[luma_bytes : luma_bytes * 3 // 2].reshape(height_px // 2, stride_bytes)
    return luma, chroma[:, :width_px]


def write_planar(luma: Plane, chroma: Plane, planes: Planes) -> None:
    """Copy a picture in NV12 into three planes."""
    y, u, v = planes
    np.copyto(y, luma)
    np.copyto(u, chroma[:, 0::2])
    np.copyto(v, chroma[:, 1::2])
