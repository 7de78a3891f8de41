"""The wiring of `vigie selftest`: a known pattern through the real parts of a box, and back."""
