"""Camera sources, the capture stage, snapshots, previews, and ONVIF events of adopted cameras."""
