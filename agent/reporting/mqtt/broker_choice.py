"""Choice of the broker to connect to: the first that answers, and the first of all again when it is back. Pure."""

from agent.runtime.backoff import Backoff
from agent.runtime.pause import Pause

RETURN_AFTER_S, MAX_RETURN_AFTER_S = 300.0, 3600.0
"""Time on a standby until the first broker is probed, doubled with each return that has failed: a change of the
broker is a disconnection.
"""


class BrokerChoice:
    """The brokers in the order of preference. Used by one thread."""

    def __init__(self, urls: tuple[str, ...]) -> None:
        self._urls = urls
        self._index = 0
        self._is_online = False
        self._return_backoff = Backoff(RETURN_AFTER_S, MAX_RETURN_AFTER_S)
        self._return_pause = Pause()

    @property
    def url(self) -> str:
        """The broker to connect to, or that is connected."""
        return self._urls[self._index]

    @property
    def first_url(self) -> str:
        """The preferred broker."""
        return self._urls[0]

    def note_online(self, now_ns: int) -> None:
        """Note that the broker has accepted the connection. Called again while it lasts."""
        if self._is_online:
            return
        self._is_online = True
        if self._index == 0:
            self._return_backoff.reset()
        else:
            self._return_pause.begin(now_ns, self._return_backoff.next_s())

    def note_ended(self) -> None:
        """Note that the connection has failed or ended: after one that was accepted the first broker is next."""
        self._index = 0 if self._is_online else (self._index + 1) % len(self._urls)
        self._is_online = False

    def should_probe_first(self, now_ns: int) -> bool:
        """Return True if a standby is connected, and it is time to see if the first broker is back."""
        return self._is_online and self._index > 0 and self._return_pause.is_over(now_ns)

    def note_first_is_away(self, now_ns: int) -> None:
        """Note that the first broker does not answer a probe."""
        self._return_pause.begin(now_ns, self._return_backoff.next_s())
