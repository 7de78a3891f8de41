"""Target that reads what a centre publishes, topic and payload: its state and its acknowledgements."""

import threading

from agent.reporting import centre_topics, topics
from agent.reporting.centre_payloads import MAX_ALSO_RANGES, Ack, CentreState
from agent.reporting.outbox.centres import MAX_ACKED_RANGES, Centres
from agent.reporting.payloads import SeqRange
from agent.reporting.seq_ranges import merge_ranges
from tests.fuzz.target import FuzzTarget

BOX = "pole-17"
CITY_ACK = b'vigie/v1/pole-17/down/ack/city\n{"epoch":"e","upto":7,"also":[[9,12],[20,20]]}'


def run_centre(data: bytes) -> None:
    topic, _, payload = data.partition(b"\n")
    name = centre_topics.parse_centre_state_topic(topic.decode("utf-8", "replace"))
    if name is not None:
        assert centre_topics.centre_state_topic(name).encode() == topic
        state = topics.decode_as(CentreState, payload)
        assert state is None or state.state in ("listening", "away", "retired")
    name = centre_topics.parse_ack_topic(BOX, topic.decode("utf-8", "replace"))
    ack = topics.decode_as(Ack, payload)
    if name is None or ack is None:
        return
    assert len(ack.also) <= MAX_ALSO_RANGES
    spans = tuple(s for s in (SeqRange(1, ack.upto), *ack.also) if 0 < s.first <= s.last)
    centres = Centres((name,), threading.RLock())
    free = centres.acknowledge(name, spans)
    assert free == merge_ranges(spans)[:MAX_ACKED_RANGES]


TARGETS = {
    "centre": FuzzTarget(
        run_centre,
        lambda: [CITY_ACK, b'vigie/v1/centre/city/state\n{"state":"listening"}'],
    )
}
