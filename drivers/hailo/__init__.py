"""A Hailo-8, 8L or 10H, through picamera2's wrapper of HailoRT, in a child process: native code may hang.

In the parent: `accelerator`. In the child: `child`. In both: `messages`.
"""
