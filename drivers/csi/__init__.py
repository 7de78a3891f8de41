"""The camera module's child process, and what passes between it and its parent.

In the parent: `process`, `child_connection`, and the driver itself, `drivers.camera.csi`. In the child:
`child`, `camera_runner`, `picamera2_setup`, `encoders`, `control_channel`. In both: `messages`,
`bounded_queue`, `frame_memory`. Pure: `options`, `controls`, `night_detector`, `nv12`, `readings`.
"""
