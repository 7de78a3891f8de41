"""A child of a Hailo that was taken over: it names a size of pictures for which it has reserved no memory."""

from functools import partial

import msgspec

from drivers.child.main import ChildEnd
from drivers.child.requests import answer, read_requests
from drivers.hailo import messages


def run(end: ChildEnd) -> None:
    for number, _ in read_requests(end, msgspec.msgpack.Decoder(messages.Operation)):
        answer(end, number, partial(messages.Loaded, width_px=320, height_px=320))
