"""A simulated chain of VISCA cameras: addresses, sockets, completions and errors."""

from collections import deque
from collections.abc import Mapping, Sequence

from drivers.visca_codec import (
    ADDRESS_SET,
    BROADCAST,
    PACKET_END,
    PROBLEMS,
    PacketFramer,
    ViscaProblem,
    nibbles,
    parse_signed,
    parse_unsigned,
)
from drivers.visca_options import ViscaSpecs
from simulation.heads.head_simulator import (
    AxisName,
    AxisOrder,
    HeadSimulator,
    PositionOrder,
    SpeedOrder,
)

SOCKETS = (1, 2)
PROBLEM_CODES: dict[ViscaProblem, int] = {problem: code for code, problem in PROBLEMS.items()}
ZOOM: tuple[AxisName, ...] = ("zoom",)
PAN_TILT: tuple[AxisName, ...] = ("pan", "tilt")
ALL_AXES: tuple[AxisName, ...] = ("pan", "tilt", "zoom", "focus")


class ViscaCameraChain:
    """The protocol side of simulated heads, in the order of the chain, as cameras 1, 2, 3.

    Without `sends_acks` they complete without an ACK, as some do.
    """

    def __init__(
        self, simulators: Sequence[HeadSimulator], specs: ViscaSpecs, *, sends_acks: bool = True
    ) -> None:
        self._cameras = tuple(
            _ViscaCamera(body, specs, address, sends_acks=sends_acks)
            for address, body in enumerate(simulators, 1)
        )
        self._framer = PacketFramer()
        self._pending_output = bytearray()

    @property
    def next_problems(self) -> deque[ViscaProblem]:
        """The errors that the first camera answers to the next commands."""
        return self._cameras[0].next_problems

    @property
    def has_pending_output(self) -> bool:
        """Whether a motion is not completed, or a message is not sent yet."""
        return bool(self._pending_output) or any(camera.is_busy for camera in self._cameras)

    def restart(self) -> None:
        """Restart the whole chain: no camera has an address, and each reports that."""
        for camera in self._cameras:
            camera.restart()
            self._pending_output += bytes((0x80, 0x38, PACKET_END))

    def exchange(self, data: bytes, t_ns: int) -> bytes:
        """Execute the packets in these bytes; return the answers and completions."""
        output, self._pending_output = self._pending_output, bytearray()
        for frame in self._framer.feed(data):
            if frame == ADDRESS_SET:
                output += self._assign_addresses()
            else:
                for camera in self._cameras:
                    output += camera.handle_frame(frame, t_ns)
        for camera in self._cameras:
            output += camera.take_completions(t_ns)
        return bytes(output)

    def _assign_addresses(self) -> bytes:
        answering = [camera for camera in self._cameras if not camera.is_silent]
        for address, camera in enumerate(answering, 1):
            camera.address = address
        return bytes((BROADCAST, 0x30, len(answering) + 1, PACKET_END)) if answering else b""


class _ViscaCamera:
    """One camera. A motion that ends by itself keeps its socket until the head has arrived."""

    def __init__(
        self, simulator: HeadSimulator, specs: ViscaSpecs, address: int, *, sends_acks: bool
    ) -> None:
        self.address = address
        self.next_problems: deque[ViscaProblem] = deque()
        self._simulator = simulator
        self._specs = specs
        self._sends_acks = sends_acks
        self._autofocus = True
        self._sockets: dict[int, tuple[AxisName, ...]] = {}

    @property
    def is_silent(self) -> bool:
        """Whether it neither receives nor answers."""
        return self._simulator.injected_fault.silent

    @property
    def is_busy(self) -> bool:
        """Whether it has a motion to complete."""
        return bool(self._sockets)

    def restart(self) -> None:
        """Forget the address and all commands."""
        self.address = 0
        self._sockets.clear()

    def take_completions(self, t_ns: int) -> bytes:
        """Return the completions of motions that are over by now."""
        output = b""
        for socket, axes in list(self._sockets.items()):
            rest_time_ns = self._simulator.rest_time_ns(axes) if axes else t_ns
            if rest_time_ns is not None and rest_time_ns <= t_ns:
                del self._sockets[socket]
                output += b"" if self.is_silent else self._reply(0x50 | socket)
        return output

    def handle_frame(self, frame: bytes, t_ns: int) -> bytes:
        """Execute a packet if it is for this camera, and return the answer."""
        header, body = frame[0], frame[1:-1]
        if self.is_silent or not self.address or header not in {0x80 | self.address, BROADCAST}:
            return b""
        if body == b"\x01\x00\x01":
            self._sockets.clear()
            return self._reply(0x50)
        if len(body) == 1 and body[0] & 0xF0 == 0x20:  # noqa: PLR2004 - command cancel
            return self._handle_cancel(body[0] & 0x0F, t_ns)
        if body[:1] == b"\x09":
            return self._answer_inquiry(body[1:], t_ns)
        if body[:1] != b"\x01":
            return self._error_reply(0, "syntax")
        return self._accept_command(body[1:], t_ns)

    def _accept_command(self, command: bytes, t_ns: int) -> bytes:
        """Execute a command in a free socket; one that does not last completes at once."""
        if self.next_problems:
            return self._error_reply(0, self.next_problems.popleft())
        free_sockets = [socket for socket in SOCKETS if socket not in self._sockets]
        if not free_sockets:
            return self._error_reply(0, "full")
        problem = self._execute(command, t_ns)
        if isinstance(problem, str):
            return self._error_reply(free_sockets[0] if problem == "not executable" else 0, problem)
        ack = self._reply(0x40 | free_sockets[0]) if self._sends_acks else b""
        if problem:
            self._sockets[free_sockets[0]] = problem
            return ack
        return ack + self._reply(0x50 | free_sockets[0])

    def _execute(self, command: bytes, t_ns: int) -> ViscaProblem | tuple[AxisName, ...]:
        """Execute a command; return its error, or the axes that it sends to a position."""
        handlers = {
            b"\x06\x01": (4, self._handle_drive),
            b"\x06\x02": (10, self._handle_goto),
            b"\x04\x07": (1, self._handle_zoom),
            b"\x04\x47": (4, self._handle_zoom_direct),
            b"\x04\x08": (1, self._handle_focus),
            b"\x04\x38": (1, self._handle_focus_mode),
            b"\x04\x3f": (2, self._handle_memory),
        }
        size, handler = handlers.get(command[:2], (-1, self._handle_drive))
        return handler(command[2:], t_ns) if len(command) == size + 2 else "syntax"

    def _handle_drive(self, arguments: bytes, t_ns: int) -> ViscaProblem | tuple[AxisName, ...]:
        pan, tilt = {1: -1, 2: 1, 3: 0}.get(arguments[2]), {1: 1, 2: -1, 3: 0}.get(arguments[3])
        pan_speed = _step_speed_deg_s(arguments[0], self._specs.pan_speeds_deg_s)
        tilt_speed = _step_speed_deg_s(arguments[1], self._specs.tilt_speeds_deg_s)
        if pan is None or tilt is None or not pan_speed or not tilt_speed:
            return "syntax"
        orders: dict[AxisName, AxisOrder] = {
            "pan": SpeedOrder(speed=pan * pan_speed),
            "tilt": SpeedOrder(speed=tilt * tilt_speed),
        }
        self._start_motion(t_ns, orders, PAN_TILT)
        return ()

    def _handle_goto(self, arguments: bytes, t_ns: int) -> ViscaProblem | tuple[AxisName, ...]:
        specs, mechanics = self._specs, self._simulator.mechanics
        pan, tilt = parse_signed(arguments[2:6]), parse_signed(arguments[6:10])
        pan_speed = _step_speed_deg_s(arguments[0], specs.pan_speeds_deg_s)
        tilt_speed = _step_speed_deg_s(arguments[1], specs.tilt_speeds_deg_s)
        if pan is None or tilt is None or not pan_speed or not tilt_speed:
            return "syntax"
        pan_deg, tilt_deg = pan / specs.pan_units_per_deg, tilt / specs.tilt_units_per_deg
        tolerance_deg = 1 / specs.pan_units_per_deg
        if not _is_within(pan_deg, specs.pan_deg.low, specs.pan_deg.high, tolerance_deg):
            return "syntax"
        if not _is_within(tilt_deg, specs.tilt_deg.low, specs.tilt_deg.high, tolerance_deg):
            return "syntax"
        orders: dict[AxisName, AxisOrder] = {
            "pan": PositionOrder(target=pan_deg, speed=min(pan_speed / mechanics.pan_max_deg_s, 1)),
            "tilt": PositionOrder(
                target=tilt_deg, speed=min(tilt_speed / mechanics.tilt_max_deg_s, 1)
            ),
        }
        return self._start_motion(t_ns, orders, PAN_TILT)

    def _handle_zoom(self, arguments: bytes, t_ns: int) -> ViscaProblem | tuple[AxisName, ...]:
        return self._drive_lens("zoom", arguments[0], self._simulator.mechanics.zoom_travel_s, t_ns)

    def _handle_zoom_direct(
        self, arguments: bytes, t_ns: int
    ) -> ViscaProblem | tuple[AxisName, ...]:
        position = parse_unsigned(arguments)
        if position is None or position > self._specs.zoom_tele:
            return "syntax"
        return self._start_motion(
            t_ns, {"zoom": PositionOrder(target=position / self._specs.zoom_tele)}, ZOOM
        )

    def _handle_focus(self, arguments: bytes, t_ns: int) -> ViscaProblem | tuple[AxisName, ...]:
        if self._autofocus:
            return "not executable"
        return self._drive_lens(
            "focus", arguments[0], self._simulator.mechanics.focus_travel_s, t_ns
        )

    def _handle_focus_mode(
        self, arguments: bytes, t_ns: int
    ) -> ViscaProblem | tuple[AxisName, ...]:
        if arguments[0] not in {0x02, 0x03}:
            return "syntax"
        self._autofocus = arguments[0] == 0x02  # noqa: PLR2004 - on; 3 is off
        return ()

    def _handle_memory(self, arguments: bytes, t_ns: int) -> ViscaProblem | tuple[AxisName, ...]:
        match arguments[0]:
            case 0x01:
                self._simulator.store_preset(t_ns, arguments[1])
                return ()
            case 0x02:
                self._end_motions(ALL_AXES)
                is_stored = self._simulator.goto_preset(t_ns, arguments[1])
                return ALL_AXES if is_stored else "not executable"
        return "syntax"

    def _drive_lens(
        self, axis: AxisName, code: int, travel_s: float, t_ns: int
    ) -> ViscaProblem | tuple[AxisName, ...]:
        speeds = {0x00: 0.0, 0x02: 0.5, 0x03: -0.5}
        speeds |= {0x20 + step: (step + 1) / 8 for step in range(8)}
        speeds |= {0x30 + step: -(step + 1) / 8 for step in range(8)}
        if code not in speeds:
            return "syntax"
        self._start_motion(t_ns, {axis: SpeedOrder(speed=speeds[code] / travel_s)}, (axis,))
        return ()

    def _start_motion(
        self, t_ns: int, orders: Mapping[AxisName, AxisOrder], axes: tuple[AxisName, ...]
    ) -> tuple[AxisName, ...]:
        self._end_motions(axes)
        self._simulator.apply_orders(t_ns, orders)
        return axes

    def _end_motions(self, axes: tuple[AxisName, ...]) -> None:
        """Complete other motions of these axes."""
        for socket, moving_axes in self._sockets.items():
            if set(moving_axes) & set(axes):
                self._sockets[socket] = ()

    def _handle_cancel(self, socket: int, t_ns: int) -> bytes:
        axes = self._sockets.pop(socket, None)
        if axes is None:
            return self._error_reply(socket, "no socket")
        self._simulator.apply_orders(t_ns, {axis: SpeedOrder(speed=0) for axis in axes})
        return self._error_reply(socket, "cancelled")

    def _answer_inquiry(self, inquiry: bytes, t_ns: int) -> bytes:
        state, specs = self._simulator.state_at(t_ns), self._specs
        if inquiry == b"\x06\x12":
            pan = round(state.pan_deg * specs.pan_units_per_deg)
            tilt = round(state.tilt_deg * specs.tilt_units_per_deg)
            return self._reply(0x50, *nibbles(pan), *nibbles(tilt))
        if inquiry == b"\x04\x47":
            return self._reply(0x50, *nibbles(round(state.zoom * specs.zoom_tele)))
        return self._error_reply(0, "syntax")

    def _error_reply(self, socket: int, problem: ViscaProblem) -> bytes:
        return self._reply(0x60 | socket, PROBLEM_CODES[problem])

    def _reply(self, *body: int) -> bytes:
        return bytes((0x80 | self.address << 4, *body, PACKET_END))


def _step_speed_deg_s(step: int, speeds_deg_s: tuple[float, ...]) -> float | None:
    """Return the speed of a step; steps above the last are the last. None for step 0."""
    return speeds_deg_s[min(step, len(speeds_deg_s)) - 1] if step else None


def _is_within(position: float, low: float, high: float, tolerance: float) -> bool:
    return low - tolerance <= position <= high + tolerance
