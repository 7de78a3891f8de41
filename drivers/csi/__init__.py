"""The camera module: what runs in its child process, and what the probe asks of libcamera.

In the parent: the driver itself, `drivers.camera.csi`, on `drivers.child`. In the child: `child`,
`camera_runner`, `picamera2_setup`, `encoders`, `sensor_network`. Pure: `options`, `mask_filter`, `controls`, `night_detector`, `nv12`,
`readings`.
"""
