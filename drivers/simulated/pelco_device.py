"""A head's side of Pelco-D and Pelco-P: hears frames, moves a body, answers where it is."""

from collections.abc import Mapping

from drivers.angles import wrap_deg
from drivers.contracts import Aux, Range
from drivers.pelco import (
    FULL_CIRCLE,
    TOP_SPEED,
    AuxSwitch,
    Axis,
    Dialect,
    Message,
    Motion,
    PelcoDecoder,
    Place,
    Preset,
    Query,
    Report,
    Telegram,
    encode,
)
from drivers.simulated.motion import AxisName, Drive, HeadMotion, Order, Reach

CENTI = 100
ZOOM_COUNTS = Range(low=0, high=16384)
AUX: Mapping[int, Aux] = {1: "wiper", 2: "heater", 3: "ir"}


class PelcoSide:
    """What speaks for a body on a line. `address_byte` is its own, as it stands in a frame.

    Its tilt counts downwards from the horizon. With `receipts` it answers to every command, as
    Pelco's own receivers do; with `echo` it is on a two-wire line whose adapter hears itself.
    """

    def __init__(
        self,
        body: HeadMotion,
        dialect: Dialect,
        address_byte: int = 1,
        *,
        aux: Mapping[int, Aux] | None = None,
        receipts: bool = False,
        echo: bool = False,
    ) -> None:
        self._body = body
        self._dialect: Dialect = dialect
        self._address_byte = address_byte
        self._aux: Mapping[int, Aux] = AUX if aux is None else aux
        self._receipts = receipts
        self._echo = echo
        self._decoder = PelcoDecoder(dialect)

    @property
    def owes(self) -> bool:
        """It speaks only when it is asked."""
        return False

    def exchange(self, data: bytes, t_ns: int) -> bytes:
        """Hear, do, and answer."""
        said = [data] if self._echo else []
        for telegram in self._decoder.feed(data):
            if telegram.address != self._address_byte or self._body.misbehaviour.silent:
                continue
            said.append(self._do(telegram.message, t_ns))
        return b"".join(said)

    def _do(self, message: Message, t_ns: int) -> bytes:
        body = self._body
        match message:
            case Motion():
                body.obey(t_ns, self._drives(message))
            case Preset(action="set", number=number):
                body.store_preset(t_ns, number)
            case Preset(action="clear", number=number):
                body.clear_preset(number)
            case Preset(number=number):
                body.recall_preset(t_ns, number)
            case AuxSwitch(number=number, on=on):
                if number in self._aux:
                    body.switch(self._aux[number], on=on)
            case Place(axis=axis, value=value):
                body.obey(t_ns, {axis: self._reach(axis, value)})
            case Query(axis=axis):
                return self._frame(Report(axis=axis, value=self._counts(axis, t_ns)))
            case Report():
                return b""
        return self._receipt(message) if self._receipts else b""

    def _drives(self, motion: Motion) -> dict[AxisName, Order]:
        built = self._body.mechanics
        return {
            "pan": Drive(speed=motion.pan / TOP_SPEED * built.pan_max_deg_s),
            "tilt": Drive(speed=motion.tilt / TOP_SPEED * built.tilt_max_deg_s),
            "zoom": Drive(speed=motion.zoom / built.zoom_travel_s),
            "focus": Drive(speed=motion.focus / built.focus_travel_s),
        }

    def _reach(self, axis: Axis, value: int) -> Reach:
        if axis == "zoom":
            share = (value - ZOOM_COUNTS.low) / (ZOOM_COUNTS.high - ZOOM_COUNTS.low)
            return Reach(place=min(max(share, 0.0), 1.0))
        angle_deg = wrap_deg(value / CENTI)
        return Reach(place=-angle_deg if axis == "tilt" else angle_deg)

    def _counts(self, axis: Axis, t_ns: int) -> int:
        state = self._body.state(t_ns)
        if axis == "zoom":
            return round(ZOOM_COUNTS.low + state.zoom * (ZOOM_COUNTS.high - ZOOM_COUNTS.low))
        angle_deg = state.pan_deg if axis == "pan" else -state.tilt_deg
        return round(angle_deg * CENTI) % FULL_CIRCLE

    def _frame(self, message: Message) -> bytes:
        return encode(self._dialect, Telegram(address=self._address_byte, message=message))

    def _receipt(self, message: Message) -> bytes:
        """Of D: the address, no alarms, and the sum of the frame heard. Of P: one byte."""
        if self._dialect == "P":
            return b"\xa2"
        return bytes((0xFF, self._address_byte, 0, self._frame(message)[-1]))
