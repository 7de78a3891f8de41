"""Whether a centre listens: by states that are signed or not, and that anybody may have sent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.reporting.centre_topics import centre_state_topic
from agent.reporting.mqtt.packets import ReceivedPublish
from centre.centre_states import MAX_KNOWN_CENTRES, CentreStates
from centre.signing import sign_centre_state
from tests.authority_rig import ControlKeys


def state(payload: bytes, centre: str = "city") -> ReceivedPublish:
    return ReceivedPublish(
        topic=centre_state_topic(centre), payload=payload, retained=True, properties=()
    )


@pytest.mark.parametrize("is_signed", [False, True])
def test_the_newest_state_of_a_centre_counts(is_signed: bool) -> None:
    identity = ControlKeys().identity("city", "centre")

    def encode(name: str) -> bytes:
        if is_signed:
            return sign_centre_state(name, identity)  # type: ignore[arg-type]
        return f'{{"state":"{name}"}}'.encode()

    states = CentreStates()
    assert not states.is_any_listening
    assert not states.is_any_away
    assert states.receive(state(encode("listening")))
    assert states.is_any_listening
    assert states.receive(state(encode("away")))
    assert states.is_any_away
    assert not states.is_any_listening
    assert states.receive(state(encode("retired")))
    assert not states.is_any_away


@given(st.binary() | st.text().map(str.encode))
def test_any_bytes_leave_the_state_before(payload: bytes) -> None:
    states = CentreStates()
    states.receive(state(b'{"state":"listening"}'))
    states.receive(state(payload))
    assert states.is_any_listening


@given(st.text(alphabet="abcdefgh=_-", max_size=40))
def test_any_text_as_signed_claims_leaves_the_state_before(claims: str) -> None:
    states = CentreStates()
    states.receive(state(b'{"state":"listening"}'))
    signature = '{"protected":"","signature":""}'
    states.receive(state(f'{{"payload":"{claims}","signatures":[{signature}]}}'.encode()))
    assert states.is_any_listening


def test_a_broker_that_invents_centres_fills_no_memory() -> None:
    states = CentreStates()
    for number in range(10 * MAX_KNOWN_CENTRES):
        states.receive(state(b'{"state":"away"}', f"centre-{number}"))
    assert len(states._states) == MAX_KNOWN_CENTRES


def test_other_topics_are_not_taken() -> None:
    received = ReceivedPublish(
        topic="vigie/v1/pole-17/up/status", payload=b"{}", retained=True, properties=()
    )
    assert not CentreStates().receive(received)
