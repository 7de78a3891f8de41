"""The camera module at work: its pictures are masked, encoded, and copied for detection.

Everything happens in Picamera2's own thread, before a picture is encoded. An exception there ends
that thread; whoever runs this sees to it that it ends the process too.
"""

import threading
import time
from typing import Any

from drivers.av_stream import NS_PER_S, FramePick
from drivers.contracts import CameraReadings
from drivers.csi import controls, encoders, messages, opening
from drivers.csi.bounded_queue import Backlog
from drivers.csi.control_channel import Desk
from drivers.csi.frame_memory import SLOTS, FrameMemory
from drivers.csi.night import NightRule
from drivers.csi.opening import Stream
from drivers.csi.picture import nv12_views, write_planar
from drivers.csi.readings import lux_of, readings_of
from drivers.masking import MaskPainter
from drivers.media import Packet, Plane, Polygon, StreamInfo

NS_PER_US = 1000
SET_TWICE = 2
"""Picamera2 takes new controls while it hands back a buffer, in another thread with the hardware
encoder: what is set at that moment may be lost. So it is set again a second later."""


class Module:
    """One camera module, running from the moment it is made."""

    def __init__(
        self,
        setup: messages.Setup,
        memory_fd: int,
        desk: Desk,
        backlog: Backlog[Packet | messages.Up],
    ) -> None:
        """Raises DriverError: absent, busy, unsupported."""
        self._setup = setup
        self._options = options = setup.options
        self._desk = desk
        self._backlog = backlog
        self._picamera2 = opening.library(setup.what)
        self._camera = opening.open_camera(self._picamera2, options, setup.what)
        self._streams = opening.configure(
            self._camera, options, setup.what, lores=setup.frames_fps > 0
        )
        self._pick = FramePick(setup.frames_fps)
        self._gop_ns = round(options.gop_s * NS_PER_S)
        self._masks: tuple[Polygon, ...] = setup.masks
        self._painters = {
            name: MaskPainter(setup.masks, setup.what, lambda: self._masks)
            for name in self._streams
        }
        self._night_rule = NightRule(options.night)
        self._night = options.night.mode == "night"
        self._set_left = 0
        self._announced = threading.Event()
        self._seq = 0
        self._dropped_frames = 0
        self._last_ns = -1
        self._second_ns = 0
        self._first_us: int | None = None
        self._key_ns: int | None = None
        self._timestamp: Any = None
        self._encoder: encoders.CameraEncoder | None = None
        self._memory = self._reserve(memory_fd)
        self._run()

    def stop(self) -> None:
        """Stop the camera. It may hang."""
        self._camera.stop()

    def _reserve(self, memory_fd: int) -> FrameMemory | None:
        lores = self._streams.get("lores")
        if lores is None:
            return None
        FrameMemory.reserve(memory_fd, lores.width_px, lores.height_px, SLOTS)
        return FrameMemory(memory_fd, lores.width_px, lores.height_px, SLOTS)

    def _run(self) -> None:
        """Set the controls, say how the camera was opened, and start it."""
        options = self._options
        fitted = controls.fitted(
            controls.wanted(options) | controls.by_light(options, night=self._night),
            self._camera.camera_controls,
        )
        self._camera.set_controls(fitted.controls)
        kind = self._start_encoder() if self._setup.packets else None
        self._camera.pre_callback = self._picture
        try:
            self._camera.start()
        except (RuntimeError, OSError) as error:
            raise opening.told(error, self._setup.what) from error
        self._backlog.put(self._opened(kind, fitted.lacking))
        self._announced.set()

    def _start_encoder(self) -> encoders.Kind:
        main = self._streams["main"]
        kind = encoders.choose(
            self._options,
            (main.width_px, main.height_px),
            hardware=encoders.hardware_is_there(),
            what=self._setup.what,
        )
        self._encoder, output = encoders.open_encoder(
            kind, self._options, self._options.fps, self._give
        )
        self._camera.start_encoder(self._encoder, output)
        return kind

    def _opened(self, kind: encoders.Kind | None, lacking: tuple[str, ...]) -> messages.Opened:
        main = self._streams["main"]
        lores = self._streams.get("lores", main)
        shown = main if kind else lores
        info = StreamInfo(
            codec="h264" if kind else "rawvideo",
            width_px=shown.width_px,
            height_px=shown.height_px,
            fps=self._options.fps,
            masked=bool(self._setup.masks) or self._setup.ask_masks,
        )
        return messages.Opened(
            info=info,
            frame_width_px=lores.width_px,
            frame_height_px=lores.height_px,
            slots=SLOTS,
            encoder=kind,
            lacking=lacking,
        )

    def _picture(self, request: Any) -> None:
        """Picamera2's pre_callback: a picture has come, and is encoded when this returns."""
        self._announced.wait()
        # libcamera says CLOCK_BOOTTIME (control_ids_core.yaml, SensorTimestamp).
        t_ns = max(self._last_ns + 1, int(request.request.metadata[self._timestamp_id(request)]))
        self._last_ns = t_ns
        seq, self._seq = self._seq, self._seq + 1
        if self._setup.ask_masks:
            self._masks = self._desk.masks_now(
                lambda number: self._backlog.put(messages.MasksAsked(number=number))
            )
        if self._encoder is not None:
            if self._masks:
                self._paint(request, "main", self._streams["main"])
            self._force_key(self._encoder, t_ns)
        if self._memory is not None and self._pick.take(t_ns):
            self._copy(request, self._memory, self._streams["lores"], seq, t_ns)
        if t_ns - self._second_ns >= NS_PER_S:
            self._second_ns = t_ns
            self._each_second(request.get_metadata(), t_ns)

    def _timestamp_id(self, request: Any) -> Any:
        """The name under which libcamera gives the sensor's time."""
        if self._timestamp is None:
            self._timestamp = next(
                name for name in request.request.metadata if name.name == "SensorTimestamp"
            )
        return self._timestamp

    def _paint(self, request: Any, name: str, stream: Stream) -> None:
        with self._picamera2.MappedArray(request, name, reshape=False) as mapped:
            luma, chroma = _views(mapped.array, stream)
            self._painters[name].paint_nv12(luma, chroma)
            del luma, chroma

    def _copy(self, request: Any, memory: FrameMemory, stream: Stream, seq: int, t_ns: int) -> None:
        slot = self._desk.free_slot()
        if slot is None:
            self._dropped_frames += 1
            return
        with self._picamera2.MappedArray(
            request, "lores", reshape=False, write=bool(self._masks)
        ) as mapped:
            luma, chroma = _views(mapped.array, stream)
            self._painters["lores"].paint_nv12(luma, chroma)
            write_planar(luma, chroma, memory.planes(slot))
            del luma, chroma
        self._backlog.put(messages.Pictured(slot=slot, seq=seq, t_ns=t_ns))

    def _force_key(self, encoder: encoders.CameraEncoder, t_ns: int) -> None:
        """Ask for a keyframe where one is due by time: the encoder counts pictures, and at night
        they may come slower. One more is due where packets were dropped.
        """
        if self._key_ns is None:
            return
        apart_ns = min(self._gop_ns, NS_PER_S) if self._backlog.wants_key else self._gop_ns
        if t_ns - self._key_ns >= apart_ns:
            self._key_ns = t_ns
            encoder.force_key_frame()

    def _give(self, data: bytes, time_us: int, is_key: bool) -> None:  # noqa: FBT001 - GivePacket
        """An access unit, in the encoder's thread."""
        if self._first_us is None:
            self._first_us = time_us
        t_ns = time_us * NS_PER_US
        if is_key:
            self._key_ns = t_ns
        at_ns = (time_us - self._first_us) * NS_PER_US
        self._backlog.put(Packet(t_ns=t_ns, pts_ns=at_ns, dts_ns=at_ns, is_key=is_key, data=data))

    def _each_second(self, metadata: dict[str, Any], t_ns: int) -> None:
        now = time.localtime() if self._options.night.clock == "local" else time.gmtime()
        night = self._night_rule.step(t_ns, lux_of(metadata), now.tm_hour * 60 + now.tm_min)
        if night != self._night:
            self._night, self._set_left = night, SET_TWICE
        if self._set_left:
            self._set_left -= 1
            changed = controls.by_light(self._options, night=night)
            self._camera.set_controls(
                controls.fitted(changed, self._camera.camera_controls).controls
            )
        self._backlog.put(messages.Read(readings=self._readings(metadata)))

    def _readings(self, metadata: dict[str, Any]) -> CameraReadings:
        return readings_of(
            metadata,
            night=self._night,
            dropped_frames=self._dropped_frames,
            dropped_packets=self._backlog.dropped_packets,
        )


def _views(buffer: Plane, stream: Stream) -> tuple[Plane, Plane]:
    return nv12_views(buffer, stream.width_px, stream.height_px, stream.stride_bytes)
