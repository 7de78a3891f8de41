"""See the package."""

Picamera2Camera = object
