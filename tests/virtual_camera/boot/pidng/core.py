"""See the package."""

PICAM2DNG = object
