"""What moves the head and drives the pins: who may, how long, and within which bounds."""
