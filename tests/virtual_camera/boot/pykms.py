"""In place of kms++'s binding, which Picamera2 imports for its preview on a display."""

FORMATS = (
    *("RGB888", "BGR888", "XRGB8888", "XBGR8888", "ARGB8888", "ABGR8888"),
    *("YUV420", "YVU420", "NV12", "NV21", "YUYV", "UYVY", "MJPEG"),
)
PixelFormat = type("PixelFormat", (), {name: name for name in FORMATS})
Card = ResourceManager = object
