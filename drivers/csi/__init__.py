"""The camera module's child process, and what passes between it and its parent.

In the parent: `process`, and the driver itself, `drivers.camera.csi`. In the child: `child`,
`module`, `encoders`, `eye`. In both: `wire`, `backlog`, `frame_memory`. Pure: `options`,
`controls`, `night`, `picture`.
"""
