"""The same real things as the whole-agent tests have, to be broken."""

from tests.whole.conftest import box, centre, mosquitto

__all__ = ["box", "centre", "mosquitto"]
