"""Whether a centre listens, by the retained states of all centres. Pure."""

from agent.reporting import centre_topics
from agent.reporting.centre_payloads import CentreState
from agent.reporting.mqtt.packets import ReceivedPublish
from centre.unverified_claims import decode_unverified

MAX_KNOWN_CENTRES = 64


class CentreStates:
    """The states that a connection has received. Their signatures are not verified: they explain a missing answer, and decide nothing."""

    def __init__(self) -> None:
        self._states: dict[str, CentreState] = {}

    @property
    def is_any_listening(self) -> bool:
        """True if a centre listens."""
        return "listening" in self._names()

    @property
    def is_any_away(self) -> bool:
        """True if a centre is away, for which boxes wait."""
        return "away" in self._names()

    def receive(self, received: ReceivedPublish) -> bool:
        """Take a message. Return False if it is not on the topic of a centre's state."""
        centre = centre_topics.parse_centre_state_topic(received.topic)
        if centre is None:
            return False
        state = decode_unverified(received.payload, CentreState)
        if state is not None and (centre in self._states or len(self._states) < MAX_KNOWN_CENTRES):
            self._states[centre] = state
        return True

    def _names(self) -> set[str]:
        return {known.state for known in self._states.values()}
