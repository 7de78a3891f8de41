"""Mechanics of pan-tilt heads, and devices that simulate them at the other end of a serial line."""
