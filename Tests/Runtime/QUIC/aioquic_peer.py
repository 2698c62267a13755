"""A second implementation of QUIC that speaks to Sources/Runtime/QUIC, run by AioquicTests.swift.

    aioquic_peer.py client HOST PORT CA CERTIFICATE KEY     connects, exercises everything, prints "ok <step>" lines
    aioquic_peer.py server CERTIFICATE KEY [--retry]        prints "listening PORT" and echoes until it is killed
    aioquic_peer.py wrong-alpn HOST PORT                    must be refused: prints "refused <code>"

Streams as in docs/quic.md: the first byte is 1 for a one-way stream of messages, each after its length, and 2 for a session.
"""

import asyncio
import ssl
import sys

from aioquic.asyncio import QuicConnectionProtocol, connect, serve
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import (
    ConnectionTerminated,
    DatagramFrameReceived,
    StopSendingReceived,
    StreamDataReceived,
    StreamReset,
)

MESSAGES, SESSION = 1, 2
ALPN = "patina/1"
PATIENCE = 30


class Peer(QuicConnectionProtocol):
    """Keeps what arrives; as a server, and for streams that the other side opens, echoes it."""

    echoes = False

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.streams: dict[int, bytearray] = {}
        self.ended: set[int] = set()
        self.reset: set[int] = set()
        self.datagrams: list[bytes] = []
        self.messages: list[bytes] = []
        self.lane: int | None = None
        self.termination: ConnectionTerminated | None = None
        self.news = asyncio.Event()

    def is_ours(self, stream: int) -> bool:
        return (stream & 1 == 0) == self._quic._is_client

    def quic_event_received(self, event):
        if isinstance(event, DatagramFrameReceived):
            self.datagrams.append(event.data)
            if self.echoes:
                self._quic.send_datagram_frame(event.data)
                self.transmit()
        elif isinstance(event, StreamDataReceived):
            self.streams.setdefault(event.stream_id, bytearray()).extend(event.data)
            if event.stream_id & 2 and not self.is_ours(event.stream_id):
                self.take_messages(event.stream_id)
            if event.end_stream:
                self.ended.add(event.stream_id)
                if not self.is_ours(event.stream_id):
                    self.answer(event.stream_id)
        elif isinstance(event, (StreamReset, StopSendingReceived)):
            self.reset.add(event.stream_id)
        elif isinstance(event, ConnectionTerminated):
            self.termination = event
        self.news.set()

    def take_messages(self, stream: int):
        """Takes the whole messages off a one-way stream of the other side; the kind stays in front."""
        received = self.streams[stream]
        assert received[0] == MESSAGES, received[0]
        while len(received) >= 5:
            length = int.from_bytes(received[1:5], "little")
            if len(received) < 5 + length:
                break
            self.messages.append(bytes(received[5 : 5 + length]))
            del received[1 : 5 + length]
            if self.echoes:
                self.send_message(self.messages[-1])

    def answer(self, stream: int):
        """The other side opened this stream and has ended it."""
        kind, body = self.streams[stream][0], bytes(self.streams[stream][1:])
        if kind == SESSION:
            self._quic.send_stream_data(stream, body, end_stream=True)
        self.transmit()

    def send(self, kind: int, body: bytes, one_way: bool = False) -> int:
        stream = self._quic.get_next_available_stream_id(is_unidirectional=one_way)
        self._quic.send_stream_data(stream, bytes([kind]) + body, end_stream=not one_way)
        self.transmit()
        return stream

    def send_message(self, body: bytes):
        """All messages on one lane, as if it were to live for ever."""
        if self.lane is None:
            self.lane = self._quic.get_next_available_stream_id(is_unidirectional=True)
            self._quic.send_stream_data(self.lane, bytes([MESSAGES]))
        self._quic.send_stream_data(self.lane, len(body).to_bytes(4, "little") + body)
        self.transmit()

    async def until(self, what: str, condition):
        async def wait():
            while not condition():
                if self.termination:
                    sys.exit(f"connection ended before: {what}; {self.termination}")
                self.news.clear()
                await self.news.wait()

        try:
            await asyncio.wait_for(wait(), PATIENCE)
        except asyncio.TimeoutError:
            sys.exit(f"timed out: {what}; connection: {self.termination}")
        print("ok", what, flush=True)


class EchoingPeer(Peer):
    echoes = True


def body(count: int) -> bytes:
    return bytes(index * 31 % 256 for index in range(count))


async def exercise(peer: Peer):
    peer._quic.send_datagram_frame(b"a datagram")
    peer.transmit()
    await peer.until("datagram", lambda: peer.datagrams == [b"a datagram"])

    session = peer.send(SESSION, body(200_000))
    await peer.until("session", lambda: session in peer.ended and peer.streams[session] == body(200_000))

    peer.send_message(body(100_000))
    await peer.until("echoed message", lambda: peer.messages == [body(100_000)])

    unknown = peer.send(0x7F, b"?")
    await peer.until("unknown kind refused", lambda: unknown in peer.reset)
    unknown_lane = peer.send(0x7F, b"?", one_way=True)
    await peer.until("unknown lane refused", lambda: unknown_lane in peer.reset)
    two_way_lane = peer.send(MESSAGES, b"\x01\0\0\0?")
    await peer.until("messages on a two-way stream refused", lambda: two_way_lane in peer.reset)
    peer._quic.send_stream_data(peer.lane, (1 << 31).to_bytes(4, "little") + bytes(1_000))
    lane, peer.lane = peer.lane, None
    peer.send_message(b"after a boast")
    await peer.until("a message too long holds up no other", lambda: peer.messages[-1] == b"after a boast")
    peer._quic.reset_stream(lane, 0)

    peer.messages.clear()
    for number in range(300):
        peer.send_message(bytes([number % 256]))
    await peer.until("many messages", lambda: len(peer.messages) == 300)

    peer._quic.request_key_update()
    peer.send_message(b"new key")
    await peer.until("key update", lambda: peer.messages[-1] == b"new key")
    peer._quic.change_connection_id()
    peer.send_message(b"new ID")
    await peer.until("connection ID", lambda: peer.messages[-1] == b"new ID")


async def client(host: str, port: str, authority: str, certificate: str, key: str):
    configuration = QuicConfiguration(is_client=True, alpn_protocols=[ALPN], max_datagram_frame_size=65_536, server_name=host)
    configuration.load_verify_locations(authority)
    configuration.load_cert_chain(certificate, key)
    async with connect(host, int(port), configuration=configuration, create_protocol=Peer) as peer:
        await exercise(peer)
    print("ok closed", flush=True)


async def wrong_alpn(host: str, port: str):
    configuration = QuicConfiguration(is_client=True, alpn_protocols=["other"], verify_mode=ssl.CERT_NONE)
    peers: list[Peer] = []

    def make(*arguments, **options):
        peers.append(Peer(*arguments, **options))
        return peers[-1]

    try:
        async with connect(host, int(port), configuration=configuration, create_protocol=make):
            sys.exit("the connection was accepted")
    except ConnectionError:
        print("refused", hex(peers[0].termination.error_code), flush=True)


async def server(certificate: str, key: str, retry: bool):
    configuration = QuicConfiguration(is_client=False, alpn_protocols=[ALPN], max_datagram_frame_size=65_536)
    configuration.load_cert_chain(certificate, key)
    running = await serve("127.0.0.1", 0, configuration=configuration, create_protocol=EchoingPeer, retry=retry)
    print("listening", running._transport.get_extra_info("sockname")[1], flush=True)
    await asyncio.sleep(120)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["client", host, port, authority, certificate, key]:
            asyncio.run(client(host, port, authority, certificate, key))
        case ["server", certificate, key, *options]:
            asyncio.run(server(certificate, key, "--retry" in options))
        case ["wrong-alpn", host, port]:
            asyncio.run(wrong_alpn(host, port))
        case _:
            sys.exit(__doc__)
