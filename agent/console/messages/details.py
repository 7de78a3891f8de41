"""Details: sentences of drivers, libraries and the kernel, which reach the console as English text. Pure.

The agent's own faults carry their message. A driver's error is text, which may come from a child process; so is that of
FFmpeg, OpenSSL, the broker or the C library. Before it is shown, it becomes a message again, so that the catalogues
translate it; text that is no known sentence stays as it is.
"""

import re
from functools import cache

from agent.base.message import Message, Text, join_sentences

MAX_DETAIL_CHARS = 400
"""A longer text is shown as it is: what a device sends has no bound."""
_MAX_PARTS = 4
_ANY = ""
"""The value of a placeholder, which the text has."""

DETAILS = (
    Message("is a folder; expected a file"),
    Message("no decoder for this codec"),
    Message("it takes more memory to read than it may have"),
    Message("Connection refused"),
    Message("Connection reset by peer"),
    Message("Connection timed out"),
    Message("No route to host"),
    Message("Network is unreachable"),
    Message("Name or service not known"),
    Message("Temporary failure in name resolution"),
    Message("No address associated with hostname"),
    Message("No such file or directory"),
    Message("Permission denied"),
    Message("Operation not permitted"),
    Message("No space left on device"),
    Message("Read-only file system"),
    Message("Input/output error"),
    Message("No such device"),
    Message("No such device or address"),
    Message("Device or resource busy"),
    Message("Not a directory"),
    Message("Is a directory"),
    Message("File exists"),
    Message("[Errno {number}] {reason}", number=_ANY, reason=_ANY),
    Message("[Errno {number}] {reason}: {path}", number=_ANY, reason=_ANY, path=_ANY),
    Message("unable to get local issuer certificate"),
    Message("unable to get issuer certificate"),
    Message("certificate has expired"),
    Message("certificate is not yet valid"),
    Message("self-signed certificate"),
    Message("self-signed certificate in certificate chain"),
    Message("Hostname mismatch, certificate is not valid for '{host}'.", host=_ANY),
    Message("IP address mismatch, certificate is not valid for '{host}'.", host=_ANY),
    Message(
        "the broker wants a certificate: set broker.certificate and broker.key, of a command --certificate and --key"
    ),
    Message("the broker does not know who signed broker.certificate"),
    Message("broker.certificate has expired"),
    Message("broker.certificate is revoked"),
    Message("the broker does not accept broker.certificate"),
    Message("the broker takes no certificate of this kind"),
    Message("this port does not speak TLS"),
    Message("no TLS version or cipher in common with the broker"),
    Message("Not authorized"),
    Message("Bad user name or password"),
    Message("Server unavailable"),
    Message("Session taken over"),
    Message("holds no certificate in PEM form"),
    Message("the key does not belong to the certificate"),
    Message("not a certificate and its unencrypted key in PEM form"),
    Message("camera {name}", name=_ANY),
    Message("head {name}", name=_ANY),
    Message("pin {name}", name=_ANY),
    Message("port {path}", path=_ANY),
    Message("device {path}", path=_ANY),
    Message("failed: {reason}", reason=_ANY),
    Message("no such file or device"),
    Message("no such device"),
    Message("no hardware behind it"),
    Message("another program has it"),
    Message("permission denied to this user"),
    Message("permission denied to this user; members of the group {group} may open it", group=_ANY),
    Message("the server knows no such path"),
    Message("no server listens there"),
    Message("refuses the request"),
    Message("the server refuses this username and password"),
    Message("the server forbids this path to this user"),
    Message("the server reports an error of its own"),
    Message("no answer in time"),
    Message("no answer"),
    Message("no answer within {seconds} s", seconds=_ANY),
    Message("does not answer within {seconds} s", seconds=_ANY),
    Message("does not answer"),
    Message("cannot be reached"),
    Message("wants a user and a password"),
    Message("refuses the password of user {user}", user=_ANY),
    Message("is not video that FFmpeg can read"),
    Message("the other side closed the connection"),
    Message("ended before the stream began"),
    Message("the stream ended"),
    Message("has no video stream"),
    Message("did not open within {seconds} s", seconds=_ANY),
    Message("its process has ended"),
    Message("the device is gone"),
    Message("port {path}: the device is gone", path=_ANY),
    Message(
        "heat: {value}, from {enter} until below {leave}",
        value=_ANY,
        enter=_ANY,
        leave=_ANY,
    ),
    Message("voltage: the supply is too low"),
    Message(
        "memory: {value} free, below {enter} until {leave}", value=_ANY, enter=_ANY, leave=_ANY
    ),
    Message("memory: all tasks wait for it {value} of the time", value=_ANY),
    Message(
        "load: {value} per core, from {enter} until {leave}", value=_ANY, enter=_ANY, leave=_ANY
    ),
    Message("disk: a write takes {value} ms", value=_ANY),
    Message("disk: full, and no footage is left that may be evicted"),
    Message("disk: that of the state folder is full"),
    Message("crash"),
    Message("power_cut"),
    Message("kernel_crash"),
    Message("board_watchdog"),
    Message("camera_stuck"),
    Message("systemd killed the agent because a vital loop did not turn"),
    Message("the kernel killed the agent for lack of memory"),
    Message("the agent ended without stopping in order, and the board ran on"),
    Message("the agent ended without stopping in order; systemd reports '{result}'", result=_ANY),
    Message("is closed"),
    Message("closed"),
    Message("sent nothing for {limit}", limit=_ANY),
    Message("its video stream has no picture size"),
    Message(
        "its display matrix does more than turn the picture; allowed: turns by 90, 180 or 270 degrees, mirrored or not"
    ),
    Message("played to its end"),
    Message("is damaged before {seconds} s", seconds=_ANY),
    Message(
        "its display matrix turns the picture, and footage keeps none; allowed: a camera that is not recorded, or a video without such a matrix"
    ),
    Message("holds no picture to loop over"),
    Message("is no device; expected one such as /dev/video0"),
    Message("is no {device}", device=_ANY),
    Message(
        "{kind} driver {name} is unknown; allowed: {allowed}", kind=_ANY, name=_ANY, allowed=_ANY
    ),
    Message("{kind} driver {name} needs a library: {reason}", kind=_ANY, name=_ANY, reason=_ANY),
    Message("its process hangs: silent {seconds}", seconds=_ANY),
    Message("its process hangs: no answer for {seconds} s", seconds=_ANY),
    Message("its process hangs in an answer"),
    Message("its process takes no masks"),
    Message("its process called {call}(2), which is not in its list of system calls", call=_ANY),
    Message("its process needs more memory than it may have"),
    Message(
        "its process uses {count} processor cores; allowed: {allowed}", count=_ANY, allowed=_ANY
    ),
    Message("no process for it: {reason}", reason=_ANY),
    Message("no process for it within {seconds} s", seconds=_ANY),
    Message("its process sends no message: {reason}", reason=_ANY),
    Message("its process sends wrong {field}", field=_ANY),
    Message("its process sends a wrong result: {reason}", reason=_ANY),
    Message("its process sent too much"),
    Message("the fork server has ended"),
    Message("takes no data for {seconds} s", seconds=_ANY),
    Message("encoder = 'hardware': it is not there (CM4 and Pi 4 have it)"),
    Message("encoder = 'hardware': it cannot encode {size}", size=_ANY),
    Message("libcamera has no such camera; there are: {names}", names=_ANY),
    Message(
        "needs Picamera2 and libcamera (apt-get install python3-picamera2 on Raspberry Pi OS): {reason}",
        reason=_ANY,
    ),
    Message(
        "has no {size} in {format}; the nearest is {nearest} in {its_format}",
        size=_ANY,
        format=_ANY,
        nearest=_ANY,
        its_format=_ANY,
    ),
    Message("its pictures are {size} now, not {expected}", size=_ANY, expected=_ANY),
    Message("sends a picture of {count} bytes", count=_ANY),
    Message("no H.264 encoder for {size}", size=_ANY),
    Message("its decoder sends a wrong size"),
    Message("its decoder hangs"),
    Message("pins"),
    Message("this board has no such pin"),
    Message("another process has it"),
    Message("in use by another part of the agent"),
    Message("not usable in a fork of their process"),
    Message("needs gpiozero: {reason}", reason=_ANY),
    Message("no pins here: {reason}", reason=_ANY),
    Message("{path} is not there", path=_ANY),
    Message("{path} is denied to this user: it must be in the group `gpio`", path=_ANY),
    Message("no result within {seconds} s", seconds=_ANY),
    Message("the model was not loaded in time"),
    Message("is being loaded"),
    Message("no memory for pictures: {reason}", reason=_ANY),
    Message("it takes {count} channels; allowed: 3", count=_ANY),
    Message(
        "has sha256 {digest}.., the configuration says {expected}..: not loaded",
        digest=_ANY,
        expected=_ANY,
    ),
    Message(
        "{file} has sha256 {digest}.., its card says {expected}..: not loaded",
        file=_ANY,
        digest=_ANY,
        expected=_ANY,
    ),
    Message(
        "{path} has sha256 {digest}.., the configuration says {expected}..: not loaded",
        path=_ANY,
        digest=_ANY,
        expected=_ANY,
    ),
    Message("its output is not HailoRT's suppression by class (HAILO_NMS_BY_CLASS)"),
    Message("needs HailoRT and Picamera2 (hailo-all): {reason}", reason=_ANY),
    Message("masks not drawn at {size}", size=_ANY),
    Message("has {count} corners; allowed: 3 or more", count=_ANY),
    Message("has no area; allowed: corners not all on one line"),
    Message("corner [{x}, {y}]; allowed: within 0..1", x=_ANY, y=_ANY),
    Message("the camera sent an invalid URL: {reason}", reason=_ANY),
    Message("no stream in H.264 or H.265; there: {streams}", streams=_ANY),
    Message("no address for the stream of {profile}", profile=_ANY),
    Message("there is no subscription"),
    Message("a search has no device"),
    Message(
        "password_file {path} has mode {mode}: others may read it; allowed: 0600 or less",
        path=_ANY,
        mode=_ANY,
    ),
    Message("password_file {path} cannot be read", path=_ANY),
    Message("interface {name}: not there; allowed: {names}", name=_ANY, names=_ANY),
    Message("it has no {feature}", feature=_ANY),
    Message("no {profile} with a head; there: {names}", profile=_ANY, names=_ANY),
    Message("the node {name} of its profile is missing", name=_ANY),
    Message("does not answer as ONVIF demands ({reason})", reason=_ANY),
    Message("it does not report its position"),
    Message("it has no preset {number}", number=_ANY),
    Message("answers {data}: no position", data=_ANY),
    Message("subnet {network}: too large; allowed: at most a /{length}", network=_ANY, length=_ANY),
    Message("subnet {network}", network=_ANY),
    Message("is no serial port"),
    Message("cannot do {settings}", settings=_ANY),
    Message("its kernel driver has no RS-485: set rs485 to 'off' or to 'gpio'"),
    Message("the connection is lost"),
    Message("the server closed the connection"),
    Message("its bus is too busy to send this"),
    Message("both sockets of the camera stay busy"),
    Message("address = {address}, and the chain has {count} cameras", address=_ANY, count=_ANY),
    Message("address = {address}, and the chain has {count} camera", address=_ANY, count=_ANY),
    Message("refuses {data}: {reason}", data=_ANY, reason=_ANY),
    Message("head {name} is not open yet", name=_ANY),
    Message("camera {name} is not open yet", name=_ANY),
    Message("the view is closed"),
    Message("the accelerator is opened again in a while"),
    Message("model {name}", name=_ANY),
    Message("no such card"),
    Message("the runtime refuses it: {reason}", reason=_ANY),
    Message("the runtime did not survive it: {reason}", reason=_ANY),
    Message("a pass fails: {reason}", reason=_ANY),
    Message("no result of the sensor for {seconds} s", seconds=_ANY),
    Message("masks cannot be stored: {reason}", reason=_ANY),
    Message("its checksum is wrong"),
    Message("is no folder"),
    Message("the camera was moved"),
    Message("the picture has another shape"),
    Message("the view has not been recognised for a day"),
    Message(
        "the view has moved by {width} of its width and {height} of its height",
        width=_ANY,
        height=_ANY,
    ),
    Message("the kernel left a crash record in pstore: {names}", names=_ANY),
    Message("the board reports a power-on, and the agent had not been stopped"),
    Message("the board reports its watchdog, and the agent had not been stopped"),
    Message("the board was restarted, and there is no evidence of another cause"),
    Message("{size} bytes; the broker takes {max}", size=_ANY, max=_ANY),
    Message("renewed certificate discarded: the broker accepted the one before only"),
    Message("a renewed certificate waits for the broker to accept it"),
    Message("the server has the request, and has not signed it"),
    Message("the present certificate cannot be read: {reason}", reason=_ANY),
    Message("its process {pid} was killed by {signal}", pid=_ANY, signal=_ANY),
    Message("its process {pid} ended with {status}", pid=_ANY, status=_ANY),
    Message(
        "its process {pid} was killed by {signal} after {seconds} s of processor time, with {size} MB at most",
        pid=_ANY,
        signal=_ANY,
        seconds=_ANY,
        size=_ANY,
    ),
    Message(
        "its process {pid} ended with {status} after {seconds} s of processor time, with {size} MB at most",
        pid=_ANY,
        status=_ANY,
        seconds=_ANY,
        size=_ANY,
    ),
    Message("its process {pid} has ended with its fork server", pid=_ANY),
    Message("its process {pid} is still there after SIGKILL", pid=_ANY),
    Message("it was not started"),
    Message("cannot answer {data}: {reason}", data=_ANY, reason=_ANY),
    Message("has no such service"),
    Message("says: {reason}", reason=_ANY),
    Message("name = {name}: is not the file's name", name=_ANY),
    Message("{reason}; the package {name} installs it", reason=_ANY, name=_ANY),
    Message("{count} tensors; allowed: {max}", count=_ANY, max=_ANY),
    Message("its metadata: {reason}", reason=_ANY),
    Message("decoder {decoder}: {reason}", decoder=_ANY, reason=_ANY),
    Message("it takes {size}, its card says {expected}", size=_ANY, expected=_ANY),
    Message("model {name}: its outputs are {types}; allowed: float32", name=_ANY, types=_ANY),
    Message("camera modules"),
    Message("libcamera hangs in the kernel: restart the board"),
    Message("libcamera says nothing for {seconds} s", seconds=_ANY),
    Message("libcamera crashes: {reason}", reason=_ANY),
    Message("no output of this name"),
    Message("it has no events"),
    Message("it has no head"),
    Message("one line has one setting"),
    Message("takes no more bytes"),
    Message("camera {name}: none of that name", name=_ANY),
    Message("no picture came within {seconds} s", seconds=_ANY),
    Message("camera {name} has no pictures", name=_ANY),
    Message(
        "camera {name} is only recorded, and sends {codec}; allowed: {allowed}",
        name=_ANY,
        codec=_ANY,
        allowed=_ANY,
    ),
    Message("it expired {seconds} s before it could begin", seconds=_ANY),
    Message("the agent stops: it was not begun"),
    Message("another self-test's message is on its way"),
    Message("another bundle is being made"),
    Message("the id {id} was that of another upload; allowed: its own", id=_ANY),
    Message("no pin of this name"),
    Message("pin {name} is not switchable by command", name=_ANY),
    Message(
        "pin {name} may be on for {max} s, not for {seconds} s", name=_ANY, max=_ANY, seconds=_ANY
    ),
    Message("the pins are not open"),
    Message("pin {name} was on for its max_on_s; again in {seconds} s", name=_ANY, seconds=_ANY),
    Message("the agent ended before the board was rebooted: not requested again"),
    Message("the reboot cannot be requested: {reason}", reason=_ANY),
    Message("it ends this run of the agent, and cannot be stored: {reason}", reason=_ANY),
    Message("no track {track} is in the picture now", track=_ANY),
    Message("no tour {tour}; there are: {tours}", tour=_ANY, tours=_ANY),
    Message(
        "camera {name} has masks, which hide everything but the presets that they were drawn at",
        name=_ANY,
    ),
    Message("there is no image: {reason}", reason=_ANY),
    Message("head {name} sweeps already", name=_ANY),
    Message("the images cannot be stitched: {reason}", reason=_ANY),
    Message("the view cannot be recorded, so no image is shown: {reason}", reason=_ANY),
    Message("a preset is set while the head rests"),
    Message("its position is unknown"),
    Message("its position is unknown and it has sectors to keep out of"),
    Message("send it to a preset of its own memory"),
    Message("head {name} has no {feature}", name=_ANY, feature=_ANY),
    Message("head {name} has no zoom", name=_ANY),
    Message("head {name} has no focus", name=_ANY),
    Message("head {name} has no tours", name=_ANY),
    Message("head {name} has no camera, or no field of view", name=_ANY),
    Message(
        "head {name} has no preset {preset}; it has: {presets}",
        name=_ANY,
        preset=_ANY,
        presets=_ANY,
    ),
    Message("head {name} has {count} presets: delete one first", name=_ANY, count=_ANY),
    Message(
        "head {name}: the lease with token {token} is over, now {holder}; acquire it again",
        name=_ANY,
        token=_ANY,
        holder=_ANY,
    ),
    Message("the head is free"),
    Message("{holder} has it", holder=_ANY),
    Message(
        "head {name}: {holder} ({role}) has it for {seconds} s more; {own_role} does not take it from {held_role}",
        name=_ANY,
        holder=_ANY,
        role=_ANY,
        seconds=_ANY,
        own_role=_ANY,
        held_role=_ANY,
    ),
    Message(
        "head {name}: {holder} ({role}) has the lease with token {token}; only its holder releases it",
        name=_ANY,
        holder=_ANY,
        role=_ANY,
        token=_ANY,
    ),
    Message("sector {sector} is in the way", sector=_ANY),
    Message(
        "head {name} may need {seconds} s for that; allowed: max_move_s = {max}",
        name=_ANY,
        seconds=_ANY,
        max=_ANY,
    ),
    Message("it was acquired, moved or stopped meanwhile"),
    Message("its stage does not run, and could not stop it"),
    Message(
        "scene {scene} was drawn at preset {preset}, and its camera has masks: for another view remove the scene from the configuration, set the preset, and draw the scene again",
        scene=_ANY,
        preset=_ANY,
    ),
    Message(
        "head {name}: preset {preset} is part of the centre's configuration; allowed: another name, or a configuration without it",
        name=_ANY,
        preset=_ANY,
    ),
    Message("preset {preset}: allowed: {allowed}", preset=_ANY, allowed=_ANY),
    Message("presets cannot be saved: {reason}", reason=_ANY),
    Message("the head itself has this position as its {number} now", number=_ANY),
    Message(
        "head {name} cannot follow: its camera has no detection, or the configuration does not allow it (head.tracking.enabled, head.fov_deg)",
        name=_ANY,
    ),
    Message("head {name} was stopped after this came in", name=_ANY),
    Message("head {name}: no head of this name; there are: {heads}", name=_ANY, heads=_ANY),
    Message("another update request runs: wait for its end"),
    Message("another update request waits for root"),
    Message("the request cannot be written: {reason}", reason=_ANY),
    Message(
        "it takes {shape} of {type}, its card says {card_shape} of {card_type}",
        shape=_ANY,
        type=_ANY,
        card_shape=_ANY,
        card_type=_ANY,
    ),
    Message("allowed: {allowed}", allowed=_ANY),
    Message("such as {example}", example=_ANY),
    Message("one line of 1 to {max} characters", max=_ANY),
    Message("one line of 1 to 100 characters, not all of them spaces"),
    Message("a name or an address, without a port"),
    Message("words of letters, digits, '.', '-' and '_', with '/' between them"),
    Message("the name of a shipped model, or the path of a card *.toml"),
    Message("lower case letters, digits, '-' and '_', at most 63; first a letter or a digit"),
    Message("lower case letters, digits, '.', '-' and '_', at most 32; first a letter or a digit"),
    Message("the base64 of an Ed25519 public key's 32 bytes, 44 characters"),
    Message("https://HOST/PATH, without a user name"),
    Message("http://HOST[:PORT], without a user name"),
    Message("00:00 to 23:59"),
    Message("64 hexadecimal digits, lower case"),
    Message("a path such as {example}, or socket://HOST:PORT", example=_ANY),
    Message("a path such as {example}", example=_ANY),
    Message("username and password_file go together: give both or neither"),
    Message("not a URL"),
    Message("unknown"),
    Message("events: {topic} identifies people", topic=_ANY),
    Message("any other topic"),
    Message("needs bytes_per_day"),
    Message("one hour or longer"),
    Message("HH:MM-HH:MM, such as 01:30-04:30"),
    Message("the lower one first"),
    Message("up to wide = {wide}", wide=_ANY),
    Message("username is given, and url has one too: give it once"),
    Message("lux_above has to be greater than lux_below, or day and night flicker"),
    Message("from and to are the same: use mode = 'day' or 'night'"),
    Message("detect_width_px and detect_height_px are at most the main stream's"),
    Message("night.min_fps is at most fps"),
    Message("{reason} (at line {line}, column {column})", reason=_ANY, line=_ANY, column=_ANY),
    Message("{reason} (at end of document)", reason=_ANY),
    Message("Invalid statement"),
    Message("Invalid value"),
    Message("Expected newline or end of document after a statement"),
    Message("Cannot declare {key} twice", key=_ANY),
    Message("Cannot overwrite a value"),
    Message("Expected ']' at the end of a table declaration"),
    Message("Expected ']]' at the end of an array declaration"),
    Message("Expected '=' after a key in a key/value pair"),
    Message("Invalid initial character for a key part"),
    Message("Unclosed array"),
    Message("Unclosed inline table"),
    Message("Unterminated string"),
    Message("Illegal character {character}", character=_ANY),
    Message("Found invalid character {character}", character=_ANY),
    Message("no USB stick that is plugged in"),
    Message("another change is on trial"),
    Message("after its end"),
    Message("no scene is on trial"),
    Message("the centre's configuration is damaged"),
    Message("after its next version"),
    Message("its masks cannot be put in force"),
    Message("see the log"),
    Message("no such camera"),
    Message("the camera is on a head"),
    Message("the camera is on no head"),
    Message("a preset"),
    Message("no preset"),
    Message("by the centre, with signatures of two people"),
    Message("the disk refuses it: {reason}", reason=_ANY),
    Message("ended after {seconds} s", seconds=_ANY),
    Message("this chip has no such pin"),
    Message(
        "its driver does not switch between day and night, or it is not open; allowed: a camera module (csi)"
    ),
    Message(
        "camera {name} is another institution's, and {requester} is not among its viewers",
        name=_ANY,
        requester=_ANY,
    ),
    Message("camera {name} is only recorded: detection is off", name=_ANY),
    Message("camera {name} sends no pictures now: the box is degraded (SYS-07)", name=_ANY),
    Message("camera {name} is not open", name=_ANY),
    Message("the picture has {size} bytes at the least", size=_ANY),
    Message("camera {name}: {count} wait for its next frame already", name=_ANY, count=_ANY),
    Message("camera {name}: none of that name; there are: {names}", name=_ANY, names=_ANY),
    Message("no picture without its receipt, which cannot be written: {reason}", reason=_ANY),
    Message("the clip's end must be after its begin"),
    Message("no footage of this span exists"),
    Message(
        "the camera's stream changes here ({before}, then {after}): export before and after it",
        before=_ANY,
        after=_ANY,
    ),
    Message("a gap of half a day is too long for one clip: export before and after it"),
    Message("damaged footage: {reason}", reason=_ANY),
    Message("the cut was cancelled, or took too long"),
    Message("sealed, and of more than {count} segments; allowed: a shorter span", count=_ANY),
    Message("the agent, which has the keys: {reason}", reason=_ANY),
    Message("all segments are withheld for masks, and there is no clip: {reason}", reason=_ANY),
    Message("{count} requests wait already", count=_ANY),
    Message("{count} requests are open already", count=_ANY),
    Message("the agent failed at it"),
    Message("the file has become shorter; starting again"),
    Message("sent another range than requested"),
    Message("more than {count} bytes", count=_ANY),
    Message("sent more than the {count} bytes announced", count=_ANY),
    Message("the connection broke; see the journal of vigie-fetch"),
    Message("the connection broke: {reason}", reason=_ANY),
    Message("{count} bytes are missing", count=_ANY),
    Message("more than {count} redirects", count=_ANY),
    Message("redirects to {url}, which is not https", url=_ANY),
    Message("redirects to {url}", url=_ANY),
    Message("its masks hide less than those in force"),
)


def find_detail(text: Text, max_parts: int = _MAX_PARTS) -> Text:
    """Return the message of a text that is a known sentence, or has one around a colon or beside a semicolon."""
    if isinstance(text, Message) or not text or len(text) > MAX_DETAIL_CHARS or max_parts == 0:
        return text
    return (
        _find_sentence(text, max_parts - 1)
        or _find_last_sentence(text, max_parts)
        or _find_beside_semicolon(text, max_parts - 1)
        or _find_before_colon(text, max_parts - 1)
        or text
    )


def _find_last_sentence(text: str, max_parts: int) -> Message | None:
    """Return the message of a text that ends, behind a colon, with a sentence, which may have a semicolon of its own."""
    subject, separator, rest = text.partition(": ")
    for _ in range(max_parts):
        if not separator or "; " in subject:
            return None
        reason = _find_sentence(rest, max_parts - 1)
        if reason is not None:
            problem = find_detail(subject, max_parts - 1)
            return Message("{problem}: {reason}", problem=problem, reason=reason)
        more, separator, rest = rest.partition(": ")
        subject = f"{subject}: {more}"
    return None


def _find_beside_semicolon(text: str, max_parts: int) -> Message | None:
    first, separator, rest = text.partition("; ")
    if not separator:
        return None
    first_detail, rest_detail = find_detail(first, max_parts), find_detail(rest, max_parts)
    if isinstance(first_detail, str) and isinstance(rest_detail, str):
        return None
    return join_sentences(first_detail, rest_detail)


def _find_before_colon(text: str, max_parts: int) -> Message | None:
    subject, separator, rest = text.partition(": ")
    problem, reason = _find_sentence(subject, max_parts), find_detail(rest, max_parts)
    if not separator or (problem is None and isinstance(reason, str)):
        return None
    return Message("{problem}: {reason}", problem=problem or subject, reason=reason)


def _find_sentence(text: str, max_parts: int) -> Message | None:
    # Drivers write the sentences of the kernel with a small letter.
    for written in (text, text[:1].upper() + text[1:]):
        for sentence, pattern in _patterns():
            match = pattern.fullmatch(written)
            if match is not None:
                values = {
                    name: find_detail(value, max_parts) for name, value in match.groupdict().items()
                }
                return Message(sentence, **values)
    return None


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """Return the pattern of each sentence, the most literal text first."""
    longest_first = sorted(DETAILS, key=lambda detail: -len(re.sub(r"{\w+}", "", detail.sentence)))
    return tuple(
        (
            detail.sentence,
            re.compile(re.sub(r"\\{(\w+)\\}", _value_pattern, re.escape(detail.sentence))),
        )
        for detail in longest_first
    )


def _value_pattern(placeholder: re.Match[str]) -> str:
    """Return the pattern of a value: a name is one word or in quotation marks, any other is any text."""
    name = placeholder[1]
    value = r"'[^']*'|[^\s:;']+" if name in ("name", "path") else ".+?"
    return f"(?P<{name}>{value})"
