"""Devices that do not exist, for tests, trials and demos: a rendered street, simulated heads, and the drivers `fake`."""
