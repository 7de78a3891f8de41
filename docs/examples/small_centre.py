r"""A small centre, to start one's own from: it needs aiomqtt, joserfc, cryptography and aiohttp, and nothing of Vigie.

It lists the boxes, takes over a head, draws a scene onto a running box, declares and ends an incident, fetches a signed
export of the footage, and looks live for ten seconds. Meanwhile it stores and acknowledges what the boxes report.

    python small_centre.py pole-17 --camera north --head mast --broker broker.example.org --broker-ca ca.crt \
      --certificate centre.crt --key centre.key --centre city.pem city.key --person amina.pem amina.key \
      --media media.crt media.key --media-host media.example.org

docs/control-keys.md makes the keys, docs/centre.md the broker, docs/wire-contract.md describes each message.
"""

import argparse
import asyncio
import base64
import hashlib
import json
import os
import secrets
import ssl
import sys
import uuid
from collections import defaultdict
from collections.abc import Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import aiomqtt
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from joserfc import jws
from joserfc.jwk import OKPKey
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

SCENE = """
[[line]]
name = "stop line"
from = [0.1, 0.6]
to = [0.9, 0.6]
"""

Json = dict[str, Any]


class Failed(Exception):
    """A box has refused, or not answered: one line for the person at the terminal."""


class Signer(NamedTuple):
    """A control certificate and its key: of a person, or of a centre."""

    name: str
    certificate: str
    key: OKPKey

    @classmethod
    def load(cls, certificate_file: str, key_file: str) -> "Signer":
        certificate = x509.load_pem_x509_certificate(Path(certificate_file).read_bytes())
        (name,) = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        key = load_pem_private_key(Path(key_file).read_bytes(), None)
        der = base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()
        return cls(str(name.value), der, OKPKey.import_key(key))

    def sign(self, message_type: str, claims: Json) -> bytes:
        """Return a signed message: JWS in the general JSON serialization."""
        registry = jws.JWSRegistry(algorithms=["Ed25519"])
        registry.max_header_length = 4096  # the certificate is in the header
        header = {"alg": "Ed25519", "typ": message_type, "x5c": [self.certificate]}
        document = jws.serialize_json(
            [{"protected": header}], json.dumps(claims), self.key, registry=registry
        )
        return json.dumps(document).encode()


class Acknowledgements:
    """Numbers of the messages that are stored, of one outbox of a box. An acknowledgement promises that they are."""

    def __init__(self) -> None:
        self.upto = 0
        self.stored: dict[int, None] = {}

    def add(self, *numbers: int) -> None:
        for number in numbers:
            # A repeat is the newest again: the box knows of no acknowledgement of it.
            self.stored.pop(number, None)
            self.stored[number] = None
        while self.upto + 1 in self.stored:
            self.upto += 1
            del self.stored[self.upto]

    def set_floor(self, upto: int) -> None:
        """No number up to this one will be sent any more, says the birth."""
        self.upto = max(self.upto, upto)
        self.stored = {number: None for number in self.stored if number > self.upto}
        self.add()


class SmallCentre:
    """One connection to the broker: stores, acknowledges, commands."""

    def __init__(
        self, client: aiomqtt.Client, centre: Signer, person: Signer, folder: Path
    ) -> None:
        self.client, self.centre, self.person = client, centre, person
        self.births: dict[str, Json] = {}
        self.reports: dict[str, Json] = {}
        self.events: list[Json] = []
        self.pictures: dict[str, list[bytes]] = defaultdict(list)
        self._acks: dict[tuple[str, str], Acknowledgements] = defaultdict(Acknowledgements)
        self._replies: dict[str, asyncio.Queue[Json]] = {}
        self._store = (folder / "messages.jsonl").open("ab")
        self._changed = asyncio.Condition()

    async def run(self) -> None:
        """Receive until cancelled."""
        await self.client.subscribe("vigie/v1/+/up/#", qos=1)
        listening = self.centre.sign("vigie-centre-state+jws", {"state": "listening"})
        state_topic = f"vigie/v1/centre/{self.centre.name}/state"
        await self.client.publish(state_topic, listening, qos=1, retain=True)
        async for message in self.client.messages:
            await self._receive(message)
            async with self._changed:
                self._changed.notify_all()

    async def wait_for(
        self, description: str, is_so: Callable[[], Any], timeout_s: float = 60
    ) -> Any:
        """Wait until something has been received."""
        async with self._changed:
            try:
                await asyncio.wait_for(self._changed.wait_for(is_so), timeout_s)
            except TimeoutError:
                raise Failed(f"{description}: not within {timeout_s:g} s") from None
        return is_so()

    async def command(
        self, box: str, verb: str, args: Json, on_accepted: Callable[[], Any] | None = None
    ) -> Json:
        """Send a signed command, and return the result of its last reply."""
        command_id, now = str(uuid.uuid4()), datetime.now(UTC)
        claims: Json = {
            "box": box,
            "id": command_id,
            "issued": now.isoformat(),
            "expires": (now + timedelta(seconds=60)).isoformat(),
            "verb": verb,
            "args": args,
        }
        birth = self.births[box]
        if not birth["clock"]["synced"]:
            # A box that does not know the time takes what names its present session.
            claims["session"] = birth["data"]["session"]
        replies = self._replies[command_id] = asyncio.Queue()
        properties = Properties(PacketTypes.PUBLISH)
        properties.ResponseTopic = f"vigie/v1/{box}/up/reply/{command_id}"
        properties.MessageExpiryInterval = 60
        payload = self.person.sign("vigie-command+jws", claims)
        topic = f"vigie/v1/{box}/down/command/{verb}"
        await self.client.publish(topic, payload, qos=1, properties=properties)
        while True:
            reply = await asyncio.wait_for(replies.get(), 120)
            match reply["state"]:
                case "done":
                    result: Json = reply["result"]
                    return result
                case "refused":
                    raise Failed(f"{verb}: {reply['code']}: {reply['message']}")
                case "accepted" if on_accepted is not None:
                    on_accepted()

    async def publish_retained(self, topic: str, message_type: str, claims: Json) -> None:
        """Publish a signed message that boxes get whenever they connect."""
        payload = self.person.sign(message_type, claims)
        await self.client.publish(topic, payload, qos=1, retain=True)

    async def _receive(self, message: aiomqtt.Message) -> None:
        _, _, box, _, kind, *below = str(message.topic).split("/")
        if kind in ("snapshot", "live"):
            # The payload is the picture, the envelope is in the user properties.
            envelope: Json = dict(message.properties.UserProperty)
            if kind == "live":
                self.pictures[below[0]].append(bytes(message.payload))
            self._store.write(json.dumps(envelope).encode() + b"\n")
            seq = int(envelope["seq"]) if envelope["seq"] not in ("null", "None") else None
        else:
            envelope = json.loads(message.payload)
            self._store.write(bytes(message.payload) + b"\n")
            seq = envelope["seq"]
            self._note(box, kind, envelope)
        acks = self._acks[box, envelope["epoch"]]
        if kind == "status" and envelope["data"]["state"] == "online":
            acks.set_floor(envelope["data"]["acked_upto"])
        elif seq is not None:
            acks.add(seq)
        else:
            return
        # Stored before it is acknowledged: the box deletes it then.
        self._store.flush()
        os.fsync(self._store.fileno())
        claims = {
            "box": box,
            "epoch": envelope["epoch"],
            "upto": acks.upto,
            # Those that arrived last: emergencies come the newest first, and are neither the lowest nor the highest.
            "also": [[number, number] for number in sorted([*acks.stored][-256:])],
        }
        ack = self.centre.sign("vigie-ack+jws", claims)
        await self.client.publish(f"vigie/v1/{box}/down/ack/{self.centre.name}", ack, qos=1)

    def _note(self, box: str, kind: str, envelope: Json) -> None:
        data = envelope["data"]
        if kind == "status" and data["state"] == "online":
            self.births[box] = envelope
        elif kind == "config":
            self.reports[box] = data
        elif kind == "event":
            self.events.append({"box": box, **data})
        elif kind == "reply" and data["command"] in self._replies:
            self._replies[data["command"]].put_nowait(data)


@asynccontextmanager
async def media_server(certificate: str, key: str, port: int) -> Any:
    """Receive uploads by HTTPS at addresses that cannot be guessed. Yields a function that makes one."""
    expected: dict[str, Path] = {}

    async def put(request: web.Request) -> web.Response:
        path = expected.get(request.match_info["token"])
        if path is None:
            raise web.HTTPNotFound
        with path.open("wb") as file:
            async for piece in request.content.iter_chunked(65_536):
                file.write(piece)
        return web.Response()

    def make_address(host: str, path: Path) -> str:
        token = secrets.token_urlsafe(24)
        expected[token] = path
        return f"https://{host}:{port}/{token}"

    application = web.Application()
    application.router.add_put("/{token}", put)
    runner = web.AppRunner(application)
    await runner.setup()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    await web.TCPSite(runner, port=port, ssl_context=context).start()
    try:
        yield make_address
    finally:
        await runner.cleanup()


async def tour(centre: SmallCentre, args: argparse.Namespace, make_address: Any) -> None:
    """Do what the module's docstring says, one after the other."""
    box, camera = args.box, args.camera
    await centre.wait_for(f"the birth of {box}", lambda: box in centre.births)
    for name, birth in sorted(centre.births.items()):
        cameras = ", ".join(one["name"] for one in birth["data"]["cameras"])
        print(f"box {name} at {birth['data']['site']}: {cameras}")

    lease = (await centre.command(box, "ptz", {"do": "acquire", "head": args.head, "lease_s": 60}))[
        "lease"
    ]
    goto = {
        "do": "goto",
        "head": args.head,
        "pan_deg": 10.0,
        "tilt_deg": 0.0,
        "token": lease["token"],
    }
    await centre.command(box, "ptz", goto)
    print(f"head {args.head}: taken over by {lease['by']}, turned")

    version = centre.reports.get(box, {}).get("version", 0) + 1
    claims = {"box": box, "version": version, "settings": {}, "scenes": {camera: SCENE}}
    await centre.publish_retained(f"vigie/v1/{box}/down/config", "vigie-config+jws", claims)

    def is_decided() -> bool:
        report = centre.reports.get(box, {})
        refused = report.get("refused") or {}
        if refused.get("version") == version:
            raise Failed(f"scene: refused: {refused['reasons']}")
        return (report.get("state"), report.get("version")) == ("in_force", version)

    await centre.wait_for("the scene", is_decided, 200)
    print(f"scene of {camera}: version {version} is in force")

    incident_id, now = f"incident-{uuid.uuid4()}", datetime.now(UTC)
    order = {
        "id": incident_id,
        "revision": 1,
        "issued": now.isoformat(),
        "ends": (now + timedelta(hours=1)).isoformat(),
        "case": "2026/118",
        "to": {"boxes": [box]},
        "footage": {"before_min": 5},
    }
    for revision, phase in ((1, "begin"), (2, "end")):
        changed = {**order, "revision": revision, "ended": phase == "end"}
        topic = f"vigie/v1/incident/{incident_id}"
        await centre.publish_retained(topic, "vigie-incident+jws", changed)

        def is_reported(phase: str = phase) -> bool:
            return any(
                event["kind"] == "incident" and event["phase"] == phase for event in centre.events
            )

        await centre.wait_for(f"the {phase} of the incident", is_reported)
        print(f"incident: {phase}")
    await centre.client.publish(f"vigie/v1/incident/{incident_id}", b"", qos=1, retain=True)

    end = datetime.now(UTC) - timedelta(seconds=15)
    path = args.out / "export.zip"
    clip = {
        "camera": camera,
        "begin": (end - timedelta(seconds=10)).isoformat(),
        "end": end.isoformat(),
        "form": "export",
        "purpose": "case 2026/118",
        "upload": {"kind": "put", "url": make_address(args.media_host, path)},
    }
    result = await centre.command(box, "clip", clip)
    if hashlib.sha256(path.read_bytes()).hexdigest() != result["sha256"]:
        raise Failed("clip: not the bytes that the box has sent")
    print(
        f"clip: {path}, {result['size_bytes']} bytes; vigie footage verify says whether it is genuine"
    )

    look = {"do": "pictures", "camera": camera, "for_s": 10.0, "per_s": 2.0}
    await centre.command(box, "live", look)
    pictures = centre.pictures[camera]
    (args.out / "live.jpg").write_bytes(pictures[-1])
    print(f"live: {len(pictures)} pictures in ten seconds")


async def main(args: argparse.Namespace) -> None:
    args.out.mkdir(parents=True, exist_ok=True)
    tls = None
    if args.broker_ca:
        tls = ssl.create_default_context(cafile=args.broker_ca)
        tls.load_cert_chain(args.certificate, args.key)
    centre_key, person = Signer.load(*args.centre), Signer.load(*args.person)
    state_topic = f"vigie/v1/centre/{centre_key.name}/state"
    away = centre_key.sign("vigie-centre-state+jws", {"state": "away"})
    async with (
        media_server(*args.media, args.media_port) as make_address,
        aiomqtt.Client(
            args.broker,
            args.port,
            identifier=centre_key.name,
            protocol=aiomqtt.ProtocolVersion.V5,
            tls_context=tls,
            will=aiomqtt.Will(state_topic, away, qos=1, retain=True),
        ) as client,
    ):
        centre = SmallCentre(client, centre_key, person, args.out)
        receiving = asyncio.create_task(centre.run())
        touring = asyncio.create_task(tour(centre, args, make_address))
        await asyncio.wait((receiving, touring), return_when=asyncio.FIRST_COMPLETED)
        await client.publish(state_topic, away, qos=1, retain=True)
        receiving.cancel()
        await touring


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A small centre: docs/examples/small_centre.py")
    parser.add_argument("box")
    parser.add_argument("--camera", required=True)
    parser.add_argument("--head", required=True)
    parser.add_argument("--broker", required=True)
    parser.add_argument("--port", type=int, default=8883)
    parser.add_argument("--broker-ca")
    parser.add_argument("--certificate")
    parser.add_argument("--key")
    files = {"nargs": 2, "metavar": ("CERTIFICATE", "KEY"), "required": True}
    parser.add_argument("--centre", help="role centre", **files)
    parser.add_argument("--person", help="role supervisor", **files)
    parser.add_argument("--media", help="of the HTTPS server for clips", **files)
    parser.add_argument("--media-host", required=True)
    parser.add_argument("--media-port", type=int, default=8443)
    parser.add_argument("--out", type=Path, default=Path("centre-out"))
    return parser.parse_args()


if __name__ == "__main__":
    try:
        asyncio.run(main(parse_args()))
    except Failed as failure:
        sys.exit(str(failure))
