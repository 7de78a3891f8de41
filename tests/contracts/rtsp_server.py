"""A street camera's RTSP side for the tests: GStreamer's server on a port that the kernel chose.

Run it with the interpreter that has GStreamer's bindings: `/usr/bin/python3 rtsp_server.py`. It
writes the port as its first line. A moving ball in H.264, a keyframe each second:

/open      for everybody
/locked    for user `vigie` with the password of `--password`, where `--auth` is given
/rateless  in JPEG for everybody: neither the pictures nor the description have a frame rate
"""

import argparse
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402 - needs the versions first

USER, PASSWORD, ROLE = "vigie", "br:ead @ö/", "viewer"


def ball_pipeline(width_px: int, height_px: int, fps: int) -> str:
    """A pipeline in gst-launch's language, ending in the payloader that the server looks for."""
    raw = f"video/x-raw,width={width_px},height={height_px},framerate={fps}/1,format=I420"
    return (
        f"( videotestsrc is-live=true pattern=ball ! {raw}"
        f" ! x264enc speed-preset=ultrafast key-int-max={fps} tune=zerolatency"
        " ! rtph264pay name=pay0 pt=96 config-interval=-1 )"
    )


def rateless_pipeline(width_px: int, height_px: int, fps: int) -> str:
    """The same in JPEG: x264 writes its rate into each stream. The payloader's caps have it for the description."""
    raw = f"video/x-raw,width={width_px},height={height_px},framerate={fps}/1,format=I420"
    return (
        f"( videotestsrc is-live=true pattern=ball ! {raw} ! jpegenc"
        f" ! capssetter replace=true caps=image/jpeg,width={width_px},height={height_px}"
        " ! rtpjpegpay name=pay0 pt=26 )"
    )


def media_factory(launch: str, role: str | None) -> GstRtspServer.RTSPMediaFactory:
    """Return the pipeline that the server builds for each client; with `role` only for its users."""
    media = GstRtspServer.RTSPMediaFactory()
    media.set_launch(launch)
    if role is not None:
        permissions = GstRtspServer.RTSPPermissions()
        permissions.add_permission_for_role(role, "media.factory.access", True)
        permissions.add_permission_for_role(role, "media.factory.construct", True)
        media.set_permissions(permissions)
    return media


def make_authentication(method: str, password: str) -> GstRtspServer.RTSPAuth:
    """One user, with the role."""
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", ROLE)
    if method == "basic":
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.BASIC)
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(USER, password), token)
    else:
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(USER, password, token)
    return auth


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--size", type=int, nargs=3, default=(320, 240, 25))
    parser.add_argument("--auth", choices=("none", "basic", "digest"), default="none")
    parser.add_argument("--password", default=PASSWORD)
    arguments = parser.parse_args()
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(arguments.port))
    if arguments.auth != "none":
        server.set_auth(make_authentication(arguments.auth, arguments.password))
    paths = server.get_mount_points()
    pipeline = ball_pipeline(*arguments.size)
    paths.add_factory("/open", media_factory(pipeline, None))
    paths.add_factory("/rateless", media_factory(rateless_pipeline(*arguments.size), None))
    paths.add_factory("/locked", media_factory(pipeline, ROLE))
    server.attach(None)
    sys.stdout.write(f"{server.get_bound_port()}\n")
    sys.stdout.flush()
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
