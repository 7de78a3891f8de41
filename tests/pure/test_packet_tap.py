"""agent.capture.packet_tap: packets from a keyframe on, bounded, the newest win, and nothing without a look."""

from hypothesis import given
from hypothesis import strategies as st

from agent.capture.packet_tap import MAX_WAITING_BYTES, PacketSubscription, PacketTap
from drivers.media import Packet, StreamInfo

INFO = StreamInfo(codec="h264", width_px=64, height_px=48, fps=10.0)
S = 1_000_000_000


def packet(number: int, *, is_key: bool = False, size_bytes: int = 10, t_ns: int = 0) -> Packet:
    return Packet(t_ns=t_ns, pts_ns=number, dts_ns=number, is_key=is_key, data=bytes(size_bytes))


def drain(subscription: PacketSubscription) -> list[int]:
    numbers = []
    while (taken := subscription.get(0.0)) is not None:
        numbers.append(taken.dts_ns)
    return numbers


def opened() -> tuple[PacketTap, PacketSubscription]:
    tap = PacketTap()
    tap.open(INFO)
    return tap, tap.subscribe(INFO)


def test_a_subscription_begins_at_a_keyframe() -> None:
    tap, subscription = opened()
    for number in range(5):
        tap.offer(packet(number, is_key=number == 2))
    assert drain(subscription) == [2, 3, 4]
    assert subscription.dropped == 0


def test_packets_that_are_late_are_dropped_up_to_the_next_keyframe() -> None:
    tap, subscription = opened()
    tap.offer(packet(0, is_key=True))
    tap.offer(packet(1, t_ns=2 * S))
    tap.offer(packet(2, t_ns=4 * S))
    tap.offer(packet(3, t_ns=4 * S))
    assert drain(subscription) == []
    tap.offer(packet(4, is_key=True, t_ns=5 * S))
    assert drain(subscription) == [4]
    assert subscription.dropped == 2


def test_a_keyframe_of_any_size_passes() -> None:
    tap, subscription = opened()
    tap.offer(packet(0, is_key=True, size_bytes=MAX_WAITING_BYTES + 1))
    assert drain(subscription) == [0]


def test_a_link_without_budget_continues_at_the_next_keyframe() -> None:
    tap, subscription = opened()
    tap.offer(packet(0, is_key=True))
    assert subscription.get(0.0) is not None
    subscription.skip_to_keyframe()
    tap.offer(packet(1))
    tap.offer(packet(2, is_key=True))
    assert drain(subscription) == [2]
    assert subscription.dropped == 1


def test_a_new_opening_of_the_camera_ends_the_subscriptions() -> None:
    tap, subscription = opened()
    again = StreamInfo(codec="h264", width_px=64, height_px=48, fps=10.0)
    tap.open(again)
    assert subscription.is_ended
    assert subscription.get(10.0) is None
    assert tap.subscribe(INFO).is_ended
    assert not tap.subscribe(again).is_ended


def test_a_subscription_that_has_ended_gets_nothing_more() -> None:
    tap, subscription = opened()
    subscription.end()
    tap.offer(packet(0, is_key=True))
    tap.offer(packet(1))
    assert drain(subscription) == [0]


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(1, MAX_WAITING_BYTES), st.booleans()), max_size=60
    )
)
def test_no_packet_follows_one_that_was_dropped_before_a_keyframe(
    steps: list[tuple[bool, int, bool]],
) -> None:
    tap, subscription = opened()
    taken: list[Packet] = []
    for number, (is_key, size_bytes, takes) in enumerate(steps):
        tap.offer(packet(number, is_key=is_key, size_bytes=size_bytes))
        assert subscription._waiting_bytes <= max(MAX_WAITING_BYTES, size_bytes)
        if takes and (one := subscription.get(0.0)) is not None:
            taken.append(one)
    previous = None
    for one in taken:
        assert one.is_key or previous == one.dts_ns - 1
        previous = one.dts_ns
