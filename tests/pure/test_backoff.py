"""agent.runtime.backoff: the wait doubles up to its bound, and starts again after a success."""

from agent.runtime.backoff import Backoff


def test_the_wait_doubles_up_to_its_bound_and_starts_again_after_a_success() -> None:
    backoff = Backoff(0.5, 3.0)
    assert [backoff.next_s() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    backoff.reset()
    assert backoff.next_s() == 0.5
