"""A child of a Hailo that was taken over: it names a size of pictures for which it has reserved no memory.

It does so as often as its first class number says.
"""

from drivers.child import messages as child_messages
from drivers.child.control_channel import DATAGRAM_BYTES
from drivers.child.main import ChildEnd
from drivers.hailo import messages


def run(end: ChildEnd) -> None:
    settings = child_messages.from_raw(end.settings, messages.ModelSettings)
    for _ in range(settings.class_numbers[0]):
        end.send(messages.Loaded(width_px=320, height_px=320))
    end.control.setblocking(True)
    end.control.recv(DATAGRAM_BYTES)
