"""A V4L2 decoder of H.264 in front of a file of pictures: `device.c`, preloaded into a process, answers for `/dev/video10`.

libavcodec's own wrapper of V4L2 drives it, by the commands that it would give a board's. It decodes nothing: the
pictures come from the file, one for each packet, with rows of padding as `bcm2835-codec` adds them.
"""
