"""TCP's view of a connection: how much of what was sent has arrived at the other end's kernel."""

import socket
import struct

import msgspec

_TCP_INFO = struct.Struct("=24x I 92x Q 16x I")
"""Of tcp_info in linux/tcp.h: tcpi_unacked, tcpi_bytes_acked and tcpi_notsent_bytes."""


class TcpSendState(msgspec.Struct, frozen=True, kw_only=True):
    """How many bytes the other end's kernel has acknowledged, and whether that is all of them."""

    acked_bytes: int
    is_all_acked: bool


def read_send_state(stream: socket.socket) -> TcpSendState:
    """Return the state of a connected socket, by TCP_INFO of tcp(7). Raises OSError."""
    tcp_info = stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
    unacked, acked_bytes, unsent_bytes = _TCP_INFO.unpack(tcp_info)
    return TcpSendState(acked_bytes=acked_bytes, is_all_acked=unacked == 0 and unsent_bytes == 0)
