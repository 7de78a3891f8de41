"""agent.console.page_wire: what the process of the page accepts from a console."""

import msgspec
import pytest

from agent.console.page_wire import DURATION_S, MAX_ADDRESSES, PageOrder, PageStart
from drivers.local_wire import MalformedMessage, MessageDecoder

START = {"port": 8443, "box_id": "casa-0001", "addresses": ["10.0.0.1"], "language": "en"}


@pytest.mark.parametrize(
    "change",
    [
        {"port": 1023},
        {"port": 65_536},
        {"box_id": "../casa"},
        {"addresses": ["10.0.0.1"] * (MAX_ADDRESSES + 1)},
        {"addresses": ["1" * 46]},
        {"language": "de"},
        {"duration_s": DURATION_S + 1},
        {"duration_s": 0},
        {"technician": "amina"},
    ],
)
def test_a_start_that_is_not_allowed_is_refused(change: dict[str, object]) -> None:
    decoder = MessageDecoder(PageStart)
    assert decoder.decode(msgspec.msgpack.encode(START)).duration_s == DURATION_S
    with pytest.raises(MalformedMessage):
        decoder.decode(msgspec.msgpack.encode(START | change))


def test_the_only_order_is_a_new_link() -> None:
    with pytest.raises(MalformedMessage):
        MessageDecoder(PageOrder).decode(msgspec.msgpack.encode({"order": "run"}))
