"""The smallest configuration of a box with a camera."""

POLE_CONFIG = """
[box]
id = "pole-17"
site = "x"
state = "state"
[broker]
url = "mqtt://127.0.0.1:1"
[[camera]]
name = "north"
driver = "fake"
"""
