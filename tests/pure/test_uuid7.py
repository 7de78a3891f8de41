"""agent.base.uuid7."""

import random
import uuid

from hypothesis import given
from hypothesis import strategies as st

from agent.base.uuid7 import uuid7, uuid7_factory

LATEST_MS = (1 << 48) - 1


@given(st.integers(0, LATEST_MS), st.integers())
def test_an_identifier_is_a_version_7_uuid_with_its_time(unix_ms: int, seed: int) -> None:
    identifier = uuid.UUID(uuid7(unix_ms, random.Random(seed)))
    assert identifier.version == 7
    assert identifier.variant == uuid.RFC_4122
    assert identifier.int >> 80 == unix_ms


def test_the_example_of_the_standard_is_reproduced() -> None:
    """RFC 9562, appendix A.6: 017F22E2-79B0-7CC3-98C4-DC0C0C07398F."""

    class Bits(random.Random):
        def getrandbits(self, k: int) -> int:
            return {12: 0xCC3, 62: 0x18C4DC0C0C07398F}[k]

    assert uuid7(0x017F22E279B0, Bits()) == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"


@given(st.lists(st.integers(0, LATEST_MS), unique=True, max_size=20))
def test_identifiers_sort_by_time(times_ms: list[int]) -> None:
    rng = random.Random(1)
    identifier = [uuid7(t_ms, rng) for t_ms in sorted(times_ms)]
    assert identifier == sorted(identifier)


def test_the_same_randomness_gives_the_same_identifiers_and_no_duplicates() -> None:
    one = uuid7_factory(lambda t_ns: t_ns, random.Random("a clip"))
    other = uuid7_factory(lambda t_ns: t_ns, random.Random("a clip"))
    identifier = [one(5_000_000) for _ in range(1000)]
    assert identifier == [other(5_000_000) for _ in range(1000)]
    assert len(set(identifier)) == 1000
