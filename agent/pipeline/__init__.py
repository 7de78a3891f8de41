"""Camera pipelines: the stages of each camera, from capture to recording, detection and ONVIF events."""
