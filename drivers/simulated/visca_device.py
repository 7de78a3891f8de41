"""A chain of VISCA cameras at the far end of a line: sockets, completions, numbers, and moods."""

from collections import deque
from collections.abc import Mapping, Sequence

from drivers.simulated.motion import AxisName, Drive, HeadMotion, Order, Reach
from drivers.visca_codec import (
    ADDRESS_SET,
    BROADCAST,
    END,
    PROBLEMS,
    Framer,
    Problem,
    nibbles,
    signed,
    unsigned,
)
from drivers.visca_options import Build

SOCKETS = (1, 2)
CODES: dict[Problem, int] = {problem: code for code, problem in PROBLEMS.items()}
ZOOM: tuple[AxisName, ...] = ("zoom",)
PAN_TILT: tuple[AxisName, ...] = ("pan", "tilt")
EVERY: tuple[AxisName, ...] = ("pan", "tilt", "zoom", "focus")


class ViscaSide:
    """What speaks for these bodies, in the order of the chain; they begin as cameras 1, 2, 3.

    With `acks` off they complete without an ACK, as some do.
    """

    def __init__(self, bodies: Sequence[HeadMotion], build: Build, *, acks: bool = True) -> None:
        self._cameras = tuple(
            _Camera(body, build, address, acks=acks) for address, body in enumerate(bodies, 1)
        )
        self._framer = Framer()
        self._unsaid = bytearray()

    @property
    def moods(self) -> deque[Problem]:
        """What the first camera answers to the next commands instead of doing them."""
        return self._cameras[0].moods

    @property
    def owes(self) -> bool:
        """Whether a motion is not completed, or a camera has something to say by itself."""
        return bool(self._unsaid) or any(camera.busy for camera in self._cameras)

    def restart(self) -> None:
        """The power of the whole chain was away: no camera has a number, and each says so."""
        for camera in self._cameras:
            camera.restart()
            self._unsaid += bytes((0x80, 0x38, END))

    def exchange(self, data: bytes, t_ns: int) -> bytes:
        """Hear, do, answer, and say what is completed."""
        said, self._unsaid = self._unsaid, bytearray()
        for frame in self._framer.feed(data):
            if frame == ADDRESS_SET:
                said += self._number()
            else:
                for camera in self._cameras:
                    said += camera.hear(frame, t_ns)
        for camera in self._cameras:
            said += camera.complete(t_ns)
        return bytes(said)

    def _number(self) -> bytes:
        speaking = [camera for camera in self._cameras if not camera.silent]
        for address, camera in enumerate(speaking, 1):
            camera.address = address
        return bytes((BROADCAST, 0x30, len(speaking) + 1, END)) if speaking else b""


class _Camera:
    """One camera. A motion that ends by itself keeps its socket until the body is there."""

    def __init__(self, body: HeadMotion, build: Build, address: int, *, acks: bool) -> None:
        self.address = address
        self.moods: deque[Problem] = deque()
        self._body = body
        self._build = build
        self._acks = acks
        self._autofocus = True
        self._sockets: dict[int, tuple[AxisName, ...]] = {}

    @property
    def silent(self) -> bool:
        """Whether it neither hears nor answers."""
        return self._body.misbehaviour.silent

    @property
    def busy(self) -> bool:
        """Whether it has a motion to complete."""
        return bool(self._sockets)

    def restart(self) -> None:
        """Forget the number and all commands."""
        self.address = 0
        self._sockets.clear()

    def complete(self, t_ns: int) -> bytes:
        """What is said of motions that are over by now."""
        said = b""
        for socket, axes in list(self._sockets.items()):
            rests_ns = self._body.rests_ns(axes) if axes else t_ns
            if rests_ns is not None and rests_ns <= t_ns:
                del self._sockets[socket]
                said += b"" if self.silent else self._reply(0x50 | socket)
        return said

    def hear(self, frame: bytes, t_ns: int) -> bytes:
        """Do what a packet says, if it is for this camera, and answer."""
        header, body = frame[0], frame[1:-1]
        if self.silent or not self.address or header not in {0x80 | self.address, BROADCAST}:
            return b""
        if body == b"\x01\x00\x01":
            self._sockets.clear()
            return self._reply(0x50)
        if len(body) == 1 and body[0] & 0xF0 == 0x20:  # noqa: PLR2004 - command cancel
            return self._cancel(body[0] & 0x0F, t_ns)
        if body[:1] == b"\x09":
            return self._answer(body[1:], t_ns)
        if body[:1] != b"\x01":
            return self._fail(0, "syntax")
        return self._take(body[1:], t_ns)

    def _take(self, command: bytes, t_ns: int) -> bytes:
        """A command: into a socket, and out of it, at once where it does not last."""
        if self.moods:
            return self._fail(0, self.moods.popleft())
        free = [socket for socket in SOCKETS if socket not in self._sockets]
        if not free:
            return self._fail(0, "full")
        problem = self._do(command, t_ns)
        if isinstance(problem, str):
            return self._fail(free[0] if problem == "not executable" else 0, problem)
        acked = self._reply(0x40 | free[0]) if self._acks else b""
        if problem:
            self._sockets[free[0]] = problem
            return acked
        return acked + self._reply(0x50 | free[0])

    def _do(self, command: bytes, t_ns: int) -> Problem | tuple[AxisName, ...]:
        """What is wrong with a command, or the axes that it moves to a place."""
        kinds = {
            b"\x06\x01": (4, self._drive),
            b"\x06\x02": (10, self._goto),
            b"\x04\x07": (1, self._zoom),
            b"\x04\x47": (4, self._zoom_to),
            b"\x04\x08": (1, self._focus),
            b"\x04\x38": (1, self._focus_mode),
            b"\x04\x3f": (2, self._memory),
        }
        size, work = kinds.get(command[:2], (-1, self._drive))
        return work(command[2:], t_ns) if len(command) == size + 2 else "syntax"

    def _drive(self, rest: bytes, t_ns: int) -> Problem | tuple[AxisName, ...]:
        pan, tilt = {1: -1, 2: 1, 3: 0}.get(rest[2]), {1: 1, 2: -1, 3: 0}.get(rest[3])
        pan_speed = _speed(rest[0], self._build.pan_speeds_deg_s)
        tilt_speed = _speed(rest[1], self._build.tilt_speeds_deg_s)
        if pan is None or tilt is None or not pan_speed or not tilt_speed:
            return "syntax"
        drives: dict[AxisName, Order] = {
            "pan": Drive(speed=pan * pan_speed),
            "tilt": Drive(speed=tilt * tilt_speed),
        }
        self._obey(t_ns, drives, PAN_TILT)
        return ()

    def _goto(self, rest: bytes, t_ns: int) -> Problem | tuple[AxisName, ...]:
        build, mechanics = self._build, self._body.mechanics
        pan, tilt = signed(rest[2:6]), signed(rest[6:10])
        pan_speed = _speed(rest[0], build.pan_speeds_deg_s)
        tilt_speed = _speed(rest[1], build.tilt_speeds_deg_s)
        if pan is None or tilt is None or not pan_speed or not tilt_speed:
            return "syntax"
        pan_deg, tilt_deg = pan / build.pan_units_per_deg, tilt / build.tilt_units_per_deg
        slack_deg = 1 / build.pan_units_per_deg
        if not _inside(pan_deg, build.pan_deg.low, build.pan_deg.high, slack_deg):
            return "syntax"
        if not _inside(tilt_deg, build.tilt_deg.low, build.tilt_deg.high, slack_deg):
            return "syntax"
        ways: dict[AxisName, Order] = {
            "pan": Reach(place=pan_deg, speed=min(pan_speed / mechanics.pan_max_deg_s, 1)),
            "tilt": Reach(place=tilt_deg, speed=min(tilt_speed / mechanics.tilt_max_deg_s, 1)),
        }
        return self._obey(t_ns, ways, PAN_TILT)

    def _zoom(self, rest: bytes, t_ns: int) -> Problem | tuple[AxisName, ...]:
        return self._lens("zoom", rest[0], self._body.mechanics.zoom_travel_s, t_ns)

    def _zoom_to(self, rest: bytes, t_ns: int) -> Problem | tuple[AxisName, ...]:
        place = unsigned(rest)
        if place is None or place > self._build.zoom_tele:
            return "syntax"
        return self._obey(t_ns, {"zoom": Reach(place=place / self._build.zoom_tele)}, ZOOM)

    def _focus(self, rest: bytes, t_ns: int) -> Problem | tuple[AxisName, ...]:
        if self._autofocus:
            return "not executable"
        return self._lens("focus", rest[0], self._body.mechanics.focus_travel_s, t_ns)

    def _focus_mode(self, rest: bytes, t_ns: int) -> Problem | tuple[AxisName, ...]:
        if rest[0] not in {0x02, 0x03}:
            return "syntax"
        self._autofocus = rest[0] == 0x02  # noqa: PLR2004 - on; 3 is off
        return ()

    def _memory(self, rest: bytes, t_ns: int) -> Problem | tuple[AxisName, ...]:
        match rest[0]:
            case 0x01:
                self._body.store_preset(t_ns, rest[1])
                return ()
            case 0x02:
                self._end(EVERY)
                there = self._body.recall_preset(t_ns, rest[1])
                return EVERY if there else "not executable"
        return "syntax"

    def _lens(
        self, axis: AxisName, code: int, travel_s: float, t_ns: int
    ) -> Problem | tuple[AxisName, ...]:
        shares = {0x00: 0.0, 0x02: 0.5, 0x03: -0.5}
        shares |= {0x20 + step: (step + 1) / 8 for step in range(8)}
        shares |= {0x30 + step: -(step + 1) / 8 for step in range(8)}
        if code not in shares:
            return "syntax"
        self._obey(t_ns, {axis: Drive(speed=shares[code] / travel_s)}, (axis,))
        return ()

    def _obey(
        self, t_ns: int, orders: Mapping[AxisName, Order], axes: tuple[AxisName, ...]
    ) -> tuple[AxisName, ...]:
        self._end(axes)
        self._body.obey(t_ns, orders)
        return axes

    def _end(self, axes: tuple[AxisName, ...]) -> None:
        """Other motions of these axes are over, to the camera's mind."""
        for socket, moved in self._sockets.items():
            if set(moved) & set(axes):
                self._sockets[socket] = ()

    def _cancel(self, socket: int, t_ns: int) -> bytes:
        axes = self._sockets.pop(socket, None)
        if axes is None:
            return self._fail(socket, "no socket")
        self._body.obey(t_ns, {axis: Drive(speed=0) for axis in axes})
        return self._fail(socket, "cancelled")

    def _answer(self, inquiry: bytes, t_ns: int) -> bytes:
        state, build = self._body.state(t_ns), self._build
        if inquiry == b"\x06\x12":
            pan = round(state.pan_deg * build.pan_units_per_deg)
            tilt = round(state.tilt_deg * build.tilt_units_per_deg)
            return self._reply(0x50, *nibbles(pan), *nibbles(tilt))
        if inquiry == b"\x04\x47":
            return self._reply(0x50, *nibbles(round(state.zoom * build.zoom_tele)))
        return self._fail(0, "syntax")

    def _fail(self, socket: int, problem: Problem) -> bytes:
        return self._reply(0x60 | socket, CODES[problem])

    def _reply(self, *body: int) -> bytes:
        return bytes((0x80 | self.address << 4, *body, END))


def _speed(step: int, speeds_deg_s: tuple[float, ...]) -> float | None:
    """A step's speed; steps above the last are the last. None for step 0, which is none."""
    return speeds_deg_s[min(step, len(speeds_deg_s)) - 1] if step else None


def _inside(place: float, low: float, high: float, slack: float) -> bool:
    return low - slack <= place <= high + slack
