"""A centre's video server for the tests: GStreamer's RTSP server, which takes what is recorded to it.

Run it with the interpreter that has GStreamer's bindings: `/usr/bin/python3 video_server.py FOLDER`. It writes
the port as its first line, and the stream that is sent to `/NAME` into `FOLDER/NAME.h264`, for the names `a` and `b`.
With `--certificate` and `--key` it speaks TLS only, with `--auth` it asks for the user and the password.
"""

import argparse
import sys
from pathlib import Path

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gio, GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402 - needs the versions first

NAMES = ("a", "b")
USER, PASSWORD, ROLE = "pole-17", "br:ead @ö/", "publisher"


def recording_factory(file: Path) -> GstRtspServer.RTSPMediaFactory:
    """Return what receives a stream and writes it as an H.264 byte stream, each unit at once."""
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_transport_mode(GstRtspServer.RTSPTransportMode.RECORD)
    factory.set_launch(
        "( rtph264depay name=depay0 ! video/x-h264,stream-format=byte-stream,alignment=nal"
        f" ! filesink location={file} async=false sync=false buffer-mode=unbuffered )"
    )
    factory.set_latency(0)
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_permission_for_role(ROLE, "media.factory.access", True)
    permissions.add_permission_for_role(ROLE, "media.factory.construct", True)
    factory.set_permissions(permissions)
    return factory


def make_authentication(arguments: argparse.Namespace) -> GstRtspServer.RTSPAuth:
    """The certificate, and the users: one, or each."""
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", ROLE)
    if arguments.certificate is not None:
        auth.set_tls_certificate(
            Gio.TlsCertificate.new_from_files(arguments.certificate, arguments.key)
        )
    if arguments.auth:
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(USER, PASSWORD, token)
    else:
        auth.set_default_token(token)
    return auth


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", default="0")
    parser.add_argument("--certificate")
    parser.add_argument("--key")
    parser.add_argument("--auth", action="store_true")
    arguments = parser.parse_args()
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(arguments.port)
    server.set_auth(make_authentication(arguments))
    paths = server.get_mount_points()
    for name in NAMES:
        paths.add_factory(f"/{name}", recording_factory(arguments.folder / f"{name}.h264"))
    server.attach(None)
    sys.stdout.write(f"{server.get_bound_port()}\n")
    sys.stdout.flush()
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
