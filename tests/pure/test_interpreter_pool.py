"""agent.detection.interpreter_pool: interpreters lent in the order of requests."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from agent.detection.interpreter_pool import MAX_WAIT_RATIO, WINDOW_NS, InterpreterPool
from tests.conftest import ManualClock


class Opened:
    """The interpreters that a pool has opened: numbers from 1 on."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> int:
        self.count += 1
        return self.count


class Camera:
    """A thread that makes passes."""

    def __init__(self, pool: InterpreterPool, name: str, order: list[str], passes: int = 1) -> None:
        self._pool, self._name, self._order, self._passes = pool, name, order, passes
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        for _ in range(self._passes):
            with self._pool.borrowed():
                self._order.append(self._name)


def until_waiting(pool: InterpreterPool, count: int) -> None:
    while pool.waiting < count:
        threading.Event().wait(0.001)


@contextmanager
def waiting_cameras(pool: InterpreterPool, *cameras: Camera) -> Iterator[None]:
    """The only interpreter is in use while the cameras come, one after the other."""
    with pool.borrowed():
        for number, camera in enumerate(cameras, 1):
            camera.thread.start()
            until_waiting(pool, number)
        yield
    for camera in cameras:
        camera.thread.join()


def test_cameras_are_served_in_the_order_of_their_requests() -> None:
    order: list[str] = []
    pool = InterpreterPool(Opened())
    names = ["a", "b", "c", "d"]
    with waiting_cameras(pool, *(Camera(pool, name, order) for name in names)):
        assert order == []
    assert order == names
    assert (pool.size, pool.waiting) == (1, 0)


def test_no_camera_starves_next_to_one_that_never_pauses() -> None:
    order: list[str] = []
    pool = InterpreterPool(Opened())
    busy, other = Camera(pool, "busy", order, passes=50), Camera(pool, "other", order, passes=1)
    with waiting_cameras(pool, busy, other):
        pass
    # The busy camera gives the interpreter back after its first pass, and the other one has waited longer.
    assert order.index("other") <= 1
    assert order.count("busy") == 50


def test_an_interpreter_is_given_back_after_an_error() -> None:
    pool = InterpreterPool(Opened())
    with pytest.raises(ZeroDivisionError), pool.borrowed() as interpreter:
        _ = interpreter / 0
    with pool.borrowed() as interpreter:
        assert interpreter == 1


def test_the_pool_grows_while_cameras_wait_long_up_to_its_size(clock: ManualClock) -> None:
    opened, order = Opened(), list[str]()
    pool = InterpreterPool(opened, max_size=2, clock_ns=clock.boottime_ns)

    def wait_s(seconds: float) -> None:
        with waiting_cameras(pool, Camera(pool, "a", order)):
            clock.advance_s(seconds)

    wait_s(0.5 * MAX_WAIT_RATIO * WINDOW_NS / 1e9)
    with waiting_cameras(pool, Camera(pool, "a", order)):
        pass
    assert pool.size == 1, "cameras have waited less than a tenth of the window"
    wait_s(MAX_WAIT_RATIO * WINDOW_NS / 1e9)
    with pool.borrowed() as first, pool.borrowed() as second:
        assert {first, second} == {1, 2}
        assert (pool.size, opened.count) == (2, 2)
    with pool.borrowed(), waiting_cameras(pool, Camera(pool, "a", order)):
        clock.advance_s(60)
    with pool.borrowed(), pool.borrowed():
        assert pool.size == 2


def test_waits_of_long_ago_do_not_count(clock: ManualClock) -> None:
    order: list[str] = []
    pool = InterpreterPool(Opened(), max_size=2, clock_ns=clock.boottime_ns)
    for _ in range(5):
        with waiting_cameras(pool, Camera(pool, "a", order)):
            clock.advance_s(0.5 * MAX_WAIT_RATIO * WINDOW_NS / 1e9)
        clock.advance_s(WINDOW_NS / 1e9)
    assert pool.size == 1


def test_a_pool_that_could_not_grow_grows_later(clock: ManualClock) -> None:
    """Memory may be short for a moment."""
    opened, order = Opened(), list[str]()
    is_short = False

    def open_interpreter() -> int:
        if is_short:
            raise MemoryError
        return opened()

    pool = InterpreterPool(open_interpreter, max_size=2, clock_ns=clock.boottime_ns)
    for is_short in (True, False):
        with waiting_cameras(pool, Camera(pool, "a", order)):
            clock.advance_s(2 * MAX_WAIT_RATIO * WINDOW_NS / 1e9)
        with pool.borrowed():
            if is_short:
                with pytest.raises(MemoryError), pool.borrowed():
                    pass
                assert pool.size == 1
            else:
                with pool.borrowed():
                    assert pool.size == 2
