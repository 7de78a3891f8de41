"""Child processes: native code that hangs, and parsers of what foreign devices, servers and files send.

In the parent: `process` and `fork_server` start a child, `connection` has its channels, `camera` is the
Camera of any driver whose work is done in a child. In the child: `main`, `control_channel`, `confinement`,
`landlock`, `syscall_filter`. `fork_server_main` is the process that the children of one kind are forked from. In both:
`messages`, `requests`, `bounded_queue`, `frame_memory`.

Decision 17 states what a child may do, and what Linux cannot forbid it; decision 48 which processes are children.
"""
