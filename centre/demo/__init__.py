"""The demo: a video or a pan-tilt head, through the complete agent, with broker and centre."""
