"""In place of PiDNG, which Picamera2 imports to write raw pictures; from PyPI it needs a compiler."""
