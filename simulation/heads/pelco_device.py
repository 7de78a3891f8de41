"""A simulated Pelco-D or Pelco-P head: receives frames, moves a simulator, reports its position."""

from collections.abc import Mapping

from drivers.angles import wrap_deg
from drivers.contracts import FRACTION, Aux, Range
from drivers.pelco_codec import (
    FULL_CIRCLE,
    TOP_SPEED,
    AddressedMessage,
    AuxSwitch,
    PelcoAxis,
    PelcoDecoder,
    PelcoDialect,
    PelcoMessage,
    PelcoMotion,
    PositionCommand,
    PositionQuery,
    PositionReport,
    PresetAction,
    encode_frame,
)
from simulation.heads.head_simulator import (
    AxisName,
    AxisOrder,
    HeadSimulator,
    PositionOrder,
    SpeedOrder,
)

COUNTS_PER_DEG = 100
ZOOM_COUNTS = Range(low=0, high=16384)
AUX_BY_NUMBER: Mapping[int, Aux] = {1: "wiper", 2: "heater", 3: "ir"}


class PelcoDevice:
    """The protocol side of a simulated head. `address_byte` is its address in a frame.

    Its tilt counts downwards from the horizon. With `general_replies` it answers every command, as
    Pelco's own receivers do; with `echoes` it is on a two-wire line whose adapter receives its own
    frames.
    """

    def __init__(
        self,
        simulator: HeadSimulator,
        dialect: PelcoDialect,
        address_byte: int = 1,
        *,
        aux: Mapping[int, Aux] | None = None,
        general_replies: bool = False,
        echoes: bool = False,
    ) -> None:
        self._simulator = simulator
        self._dialect: PelcoDialect = dialect
        self._address_byte = address_byte
        self._aux: Mapping[int, Aux] = AUX_BY_NUMBER if aux is None else aux
        self._sends_general_replies = general_replies
        self._echoes = echoes
        self._decoder = PelcoDecoder(dialect)

    @property
    def has_pending_output(self) -> bool:
        """Never: it sends nothing but answers."""
        return False

    def exchange(self, data: bytes, t_ns: int) -> bytes:
        """Execute the frames in these bytes, and return the answers."""
        output = [data] if self._echoes else []
        for addressed in self._decoder.feed(data):
            if addressed.address != self._address_byte or self._simulator.injected_fault.silent:
                continue
            output.append(self._execute(addressed.message, t_ns))
        return b"".join(output)

    def _execute(self, message: PelcoMessage, t_ns: int) -> bytes:
        simulator = self._simulator
        match message:
            case PelcoMotion():
                simulator.apply_orders(t_ns, self._speed_orders(message))
            case PresetAction(action="set", number=number):
                simulator.store_preset(t_ns, number)
            case PresetAction(action="clear", number=number):
                simulator.clear_preset(number)
            case PresetAction(number=number):
                simulator.goto_preset(t_ns, number)
            case AuxSwitch(number=number, on=on):
                if number in self._aux:
                    simulator.set_aux(self._aux[number], on=on)
            case PositionCommand(axis=axis, value=value):
                simulator.apply_orders(t_ns, {axis: self._position_order(axis, value)})
            case PositionQuery(axis=axis):
                return self._frame(PositionReport(axis=axis, value=self._counts(axis, t_ns)))
            case PositionReport():
                return b""
        return self._general_reply(message) if self._sends_general_replies else b""

    def _speed_orders(self, motion: PelcoMotion) -> dict[AxisName, AxisOrder]:
        mechanics = self._simulator.mechanics
        return {
            "pan": SpeedOrder(speed=motion.pan / TOP_SPEED * mechanics.pan_max_deg_s),
            "tilt": SpeedOrder(speed=motion.tilt / TOP_SPEED * mechanics.tilt_max_deg_s),
            "zoom": SpeedOrder(speed=motion.zoom / mechanics.zoom_travel_s),
            "focus": SpeedOrder(speed=motion.focus / mechanics.focus_travel_s),
        }

    def _position_order(self, axis: PelcoAxis, value: int) -> PositionOrder:
        if axis == "zoom":
            fraction = (value - ZOOM_COUNTS.low) / (ZOOM_COUNTS.high - ZOOM_COUNTS.low)
            return PositionOrder(target=FRACTION.clamp(fraction))
        angle_deg = wrap_deg(value / COUNTS_PER_DEG)
        return PositionOrder(target=-angle_deg if axis == "tilt" else angle_deg)

    def _counts(self, axis: PelcoAxis, t_ns: int) -> int:
        state = self._simulator.state_at(t_ns)
        if axis == "zoom":
            return round(ZOOM_COUNTS.low + state.zoom * (ZOOM_COUNTS.high - ZOOM_COUNTS.low))
        angle_deg = state.pan_deg if axis == "pan" else -state.tilt_deg
        return round(angle_deg * COUNTS_PER_DEG) % FULL_CIRCLE

    def _frame(self, message: PelcoMessage) -> bytes:
        return encode_frame(
            self._dialect, AddressedMessage(address=self._address_byte, message=message)
        )

    def _general_reply(self, message: PelcoMessage) -> bytes:
        """Return, for D, the address, no alarms, and the checksum received; for P one byte."""
        if self._dialect == "P":
            return b"\xa2"
        return bytes((0xFF, self._address_byte, 0, self._frame(message)[-1]))
