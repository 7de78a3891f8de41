"""A V4L2 camera: `device.c`, preloaded into a process, answers for `/dev/video77`.

FFmpeg's own reader of V4L2 drives it, by the commands that it would give a kernel's. It gives grey pictures of YUYV at once.
"""
