"""Cameras, one file each; `driver = "rtsp"` in the configuration loads `drivers/camera/rtsp.py`."""
