"""The camera module's child: `python -P -m drivers.child.main drivers.csi.child ...`.

It runs one camera module until its parent ends or something fails. Native code under Picamera2 is
known to go silent after hours, and to hang when it is stopped: therefore it is a process, which can
be killed.
"""

import os

import msgspec

from drivers.child import messages
from drivers.child.bounded_queue import MediaQueue
from drivers.child.control_channel import ControlChannel
from drivers.child.main import ChildEnd
from drivers.child.messages import SLOT_COUNT
from drivers.csi.camera_runner import CameraRunner
from drivers.media import Packet

POLL_INTERVAL_S = 0.25
"""Interval of the check for the parent's end if there is nothing to send."""


def run(end: ChildEnd) -> None:
    """Run the camera until the parent's end is closed. Raises: DriverError."""
    os.environ.setdefault("LIBCAMERA_LOG_LEVELS", "*:WARN")
    settings = messages.from_raw(end.settings, messages.MediaSettings)
    (memory_fd,) = end.memory_fds
    queue: MediaQueue[Packet | msgspec.Struct] = MediaQueue(SLOT_COUNT)
    runner = CameraRunner(
        end.display_name,
        settings,
        memory_fd,
        ControlChannel(end.control, SLOT_COUNT),
        queue,
        end.send,
    )
    is_open = True
    while is_open:
        message = queue.get(POLL_INTERVAL_S)
        if message is None:
            is_open = not end.is_closed()
        elif isinstance(message, Packet):
            is_open = end.send(messages.EncodedPacket(packet=message))
        else:
            is_open = end.send(message)
    runner.stop()
