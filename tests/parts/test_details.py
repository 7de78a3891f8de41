"""agent.console.messages.details: the sentence that decides is in the technician's language."""

import ast
import errno
import functools
import os
import re
import socket
from pathlib import Path
from typing import NamedTuple

import av
import msgspec
import pytest

from agent.base.health_model import Fault
from agent.base.message import Message, Text, join_sentences, message_of
from agent.config.configuration import read_file
from agent.config.desired_store import ConfigLayer, DesiredStore
from agent.config_change import config_check
from agent.config_change.start_config import RefusedVersion, check_version
from agent.console.check_result import failed
from agent.console.messages import render
from agent.console.messages.detail_sentences import DETAILS
from agent.console.messages.details import MAX_DETAIL_CHARS, find_detail
from agent.faults.diagnosis import VIEW_WORDS
from agent.faults.registry import FaultRegistry
from agent.faults.texts import Language
from agent.reporting.mqtt import connect_error, tls
from drivers import av_stream
from drivers.child.process import describe_status
from drivers.errors import DriverError, errno_text
from tests.conftest import ManualClock

ADDRESS = tls.BrokerAddress(host="broker.casa.invalid", port=8883, is_tls=True)
TRANSLATED: tuple[Language, ...] = ("fr", "ar")


def show(text: Text, language: Language) -> str:
    return render(text, language, str)


def raised(action: object) -> OSError:
    """Return the error that the kernel or the C library gives."""
    try:
        action()  # type: ignore[operator]
    except OSError as error:
        return error
    raise AssertionError


def fill_disk() -> None:
    with Path("/dev/full").open("wb", buffering=0) as full:
        full.write(b"x")


def connect_nowhere() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # not listening: the port refuses
        socket.create_connection(taken.getsockname(), 5)


def broker_detail(error: Exception) -> Text:
    return message_of(connect_error.error_from_exception("broker:8883", ADDRESS, error))


def test_the_end_of_the_run_before_and_an_error_of_a_driver_are_said_in_the_language_of_the_session() -> (
    None
):
    ended = "crash: the agent ended without stopping in order, and the board ran on"
    assert show(ended, "fr") == (
        "plantage\u00a0: l'agent s'est terminé sans arrêt en règle, et la carte a continué"
    )
    absent = "camera 'yard': device '/dev/yard': no such file or directory"
    assert show(absent, "fr").endswith("\u00a0: fichier ou dossier absent")


def test_the_view_of_a_camera_is_said_in_the_language_of_the_session() -> None:
    registry = FaultRegistry(lambda: 0)
    registry.raise_fault("CAM-07", "north", VIEW_WORDS["blocked"])
    (fault,) = registry.active()
    detail = fault.translatable_detail
    assert show(detail, "fr") == "la vue est couverte"
    assert show(detail, "ar") == "الرؤية محجوبة"
    assert show(detail, "en") == "the view is covered"


def test_a_name_that_is_not_known_is_said_in_the_language_of_the_session() -> None:
    detail = broker_detail(socket.gaierror(socket.EAI_NONAME, "Name or service not known"))
    assert show(detail, "fr") == (
        "broker:8883\u00a0: le nom n'est pas connu\u00a0: ce nom n'existe pas"
    )
    assert "الاسم غير معروف" in show(detail, "ar")
    assert show(detail, "en") == str(detail)


def test_a_refused_password_is_said_in_the_language_of_the_session() -> None:
    error = av.error.HTTPUnauthorizedError(1, "401 Unauthorized")
    detail = str(av_stream.to_driver_error(error, "camera 'yard'"))
    assert show(detail, "fr") == (
        "caméra 'yard'\u00a0: le serveur refuse ce nom d'utilisateur et ce mot de passe"
    )
    assert "كلمة المرور" in show(detail, "ar")
    says = Message("the broker says: {reason}", reason="Bad user name or password")
    broker = connect_error.at_broker("broker:8883", says)
    assert "mauvais nom d'utilisateur ou mot de passe" in show(broker, "fr")


def test_a_full_disk_is_said_in_the_language_of_the_session() -> None:
    error = raised(fill_disk)
    assert show(str(error.strerror), "fr") == "plus d'espace libre sur le disque"
    named = str(OSError(error.errno, error.strerror, "/var/lib/vigie/x"))
    assert show(named, "fr") == (
        "'/var/lib/vigie/x'\u00a0: plus d'espace libre sur le disque (erreur 28)"
    )
    assert "لم تبق مساحة حرة على القرص" in show(named, "ar")


def test_a_port_without_a_broker_is_said_in_the_language_of_the_session() -> None:
    detail = broker_detail(raised(connect_nowhere))
    assert show(detail, "fr") == (
        "broker:8883\u00a0: connexion refusée\u00a0: la machine répond, mais aucun serveur MQTT sur ce port"
    )


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_fault_of_the_agent_carries_its_message_to_the_console_and_english_to_the_centre(
    language: Language,
) -> None:
    registry = FaultRegistry(lambda: 0)
    silent = Message("silent for {seconds:.0f} s", seconds=12.4)
    restarts = Message("the agent restarts, {count} of {max}", count=1, max=3)
    registry.raise_fault("CAM-02", "north", join_sentences(silent, restarts))
    (fault,) = msgspec.json.decode(
        msgspec.json.encode(registry.active()), type=tuple[Fault, ...]
    )  # as the health report has it
    assert fault.detail == "silent for 12 s; the agent restarts, 1 of 3"
    assert (
        show(fault.translatable_detail, language)
        == {
            "fr": "muette depuis 12 s\u00a0; l'agent redémarre, 1 sur 3",
            "ar": "صامتة منذ 12 ث؛ يعيد برنامج الصندوق التشغيل، 1 من 3",
        }[language]
    )


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_fault_with_the_error_of_a_driver_is_translated_from_its_text(language: Language) -> None:
    registry = FaultRegistry(lambda: 0)
    registry.raise_fault("PTZ-03", "mast", DriverError("timeout", "head 'mast': no answer"))
    (fault,) = registry.active()
    assert (fault.detail, fault.detail_message) == ("head 'mast': no answer", None)
    assert "no answer" not in show(fault.translatable_detail, language)


SENTENCES = [
    *(message for _, _, message in av_stream._ERROR_KINDS),
    *(alert.message for alert in tls._ALERTS.values()),
    *(
        errno_text(number, "camera", "video")
        for number in (errno.EACCES, errno.EBUSY, errno.ENOENT, errno.ENODEV)
    ),
    *(
        os.strerror(number)
        for number in (
            errno.ECONNREFUSED,
            errno.ECONNRESET,
            errno.EHOSTUNREACH,
            errno.ENETUNREACH,
            errno.ETIMEDOUT,
            errno.ENOENT,
            errno.EACCES,
            errno.EPERM,
            errno.ENOSPC,
            errno.EROFS,
            errno.EIO,
            errno.ENODEV,
            errno.ENXIO,
            errno.EBUSY,
            errno.ENOTDIR,
            errno.EISDIR,
            errno.EEXIST,
        )
    ),
]


@pytest.mark.parametrize("sentence", SENTENCES)
def test_each_sentence_of_the_kernel_of_tls_and_of_the_drivers_is_known(sentence: str) -> None:
    assert isinstance(find_detail(sentence), Message)
    arabic = re.sub("\u2068[^\u2069]*\u2069", "", show(sentence, "ar"))
    assert re.sub(r"broker\.\w+|TLS|FFmpeg|PEM|MQTT|video", "", arabic).isascii() is False
    assert not re.search(r"\b(the|is|no|of|and|with|to)\b", arabic)


COMPOSED = {
    "its process 7",
    "encoder = 'hardware': it 7",
    "vigie-fetch.service: 7",
    "7 camera7",
    "head 7: its position is unknown7; send it to a preset of its own memory",
}
"""Errors with a second text in them: of how a process ended, or of a library."""
ROOT = Path(__file__).parents[2]
TEXT_NODES = (ast.Constant, ast.JoinedStr)
OF_THE_CENTRE = {
    "agent/app/renew_command.py": "renew",
    "agent/capture/live_command.py": "live",
    "agent/capture/live_looks.py": "live",
    "agent/capture/live_video.py": "live",
    "agent/capture/video_target.py": "live",
    "agent/clips/clip_admission.py": "clip",
    "agent/clips/clip_command.py": "clip",
    "agent/clips/upload_queue.py": "clip",
    "agent/clips/upload_target.py": "clip",
    "agent/clips/validation_clips_command.py": "validation_clips",
    "agent/commands/command.py": "the expiry of a command of the network",
    "agent/commands/dispatcher.py": "a command of the network that came late",
    "agent/diagnostics/agent_log/log_command.py": "log",
    "agent/footage/footage_access.py": "hold, release and list",
    "agent/footage/footage_worker.py": "hold, release and list",
    "agent/footage/hold_command.py": "hold",
    "agent/footage/list_command.py": "list",
    "agent/footage/release_command.py": "release",
}
"""Refused commands that a centre alone sends: they stay English. The console and the page send none of them."""


class WrittenCall(NamedTuple):
    """A call in the code, with the texts of its arguments."""

    place: str
    name: str
    texts: tuple[str, ...]
    begins_with_text: bool


class Code(NamedTuple):
    """The code of the agent and of its drivers: its calls, and its texts apart from docstrings and the catalogues."""

    calls: list[WrittenCall]
    texts: set[str]


@functools.cache
def read_code() -> Code:
    code = Code([], set())
    rooms = ("agent", "drivers", "simulation")
    for path in sorted(path for room in rooms for path in ROOT.glob(f"{room}/**/*.py")):
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        for node in nodes:
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
                code.calls.append(
                    WrittenCall(
                        place=f"{path.relative_to(ROOT)}:{node.lineno}",
                        name=node.func.id if isinstance(node.func, ast.Name) else node.func.attr,
                        texts=tuple(map(written_text, node.args)),
                        begins_with_text=bool(node.args) and isinstance(node.args[0], TEXT_NODES),
                    )
                )
        if path.parent.name != "messages":
            alone = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
            code.texts.update(
                written_text(node)
                for node in nodes
                if isinstance(node, TEXT_NODES) and id(node) not in alone
            )
    return code


def written_errors(*names: str) -> dict[str, str]:
    """Return the place of each text that one of these errors is raised with; 7 stands for each value in it."""
    return {
        text.removeprefix("7: "): call.place
        for call in read_code().calls
        if call.name.endswith(names)
        for text in call.texts
        # The kind of a DriverError, and a text that has no word of its own.
        if " " in text and re.search("[a-z]{2}", text)
    }


def written_text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(written_text(part) for part in node.values)
    return "7"


def remainder(text: Text) -> str:
    """Return the words of a text that are in no known sentence."""
    text = find_detail(text)
    if isinstance(text, str):
        return " ".join(re.findall("[a-z]{2,}", text.replace(".tflite", "")))
    return " ".join(filter(None, map(remainder, text.values.values())))  # type: ignore[arg-type]


def test_each_error_that_a_driver_is_written_with_is_translated() -> None:
    errors = written_errors(
        "DriverError", "ChildError", "HardwareFailure", "MaskError", "ModelRefused"
    )
    assert len(errors) > 100
    unknown = [
        f"{place}: {text}"
        for text, place in errors.items()
        if text not in COMPOSED and remainder(find_detail(text))
    ]
    assert unknown == []


def test_each_refusal_of_a_technicians_command_is_translated() -> None:
    refusals = written_errors("CommandRejected", "ClipError", "ExportError", "HttpError")
    unknown = {
        f"{place}: {text}"
        for text, place in refusals.items()
        if text not in COMPOSED and remainder(find_detail(text))
    }
    files = {place.partition(":")[0] for place in unknown}
    assert {place for place in unknown if place.partition(":")[0] not in OF_THE_CENTRE} == set()
    assert OF_THE_CENTRE.keys() - files == set()


STAY_ENGLISH = {
    "agent/base/device_identity.py": "the advice of the command line to use sudo",
    "agent/console/byte_line.py": "the start of the console, before a language is chosen",
    "agent/console/login.py": "a challenge at the command line of the centre",
    "agent/base/secret_file.py": "the secret file, at the command line and in a settings file",
    "agent/console/serve.py": "the advice of the command line to use sudo",
    "agent/config_change/config_stage.py": "a reply of the agent's process",
    "agent/config_change/desired_message.py": "a report to the centre",
    "agent/config_change/rehearsal_request.py": "a report to the centre",
    "agent/config_change/scene_change.py": "a reply of the agent's process",
    "agent/detection/still_image.py": "the command line alone",
    "agent/diagnostics/selftest/runner.py": "the advice of the command line to use sudo",
    "agent/diagnostics/support_bundle/builder.py": "the option --out of the command line",
    "agent/console/act_server.py": "the start of a process, which the console alone reads",
    "agent/provisioning/first_boot.py": "the option --user of the command line",
    "agent/recording/encryption/key_wrapping.py": "unsealing, at the command line alone",
    "agent/recording/encryption/keys.py": "private keys, at the command line alone",
    "agent/recording/export/unseal.py": "the command line alone",
    "agent/recording/export/export_request.py": "the option --out of the command line",
    "agent/recording/footage_listing.py": "the options --state, --from and --to of the command line",
    "agent/reporting/outbox/files.py": "the start of an agent beside another one",
    "agent/reporting/renewal/renewal_stage.py": "a report to the centre",
    "agent/update/download.py": "the option --sha256 of the command line",
    "agent/update/stick_service.py": "a reply of root's process, which is recognised",
}


def english_errors(name: str) -> list[str]:
    """Return the place of each error, outside of the command line, that is raised with text instead of a message."""
    return [
        call.place
        for call in read_code().calls
        if call.name == name
        and call.begins_with_text
        and call.place.startswith("agent/")
        and Path(call.place).parent.name != "cli"
    ]


def test_each_error_of_a_user_carries_its_message() -> None:
    places = english_errors("UserError")
    files = {place.partition(":")[0] for place in places}
    assert [place for place in places if place.partition(":")[0] not in STAY_ENGLISH] == []
    assert STAY_ENGLISH.keys() - files == set()


ENGLISH_WORDS = re.compile(
    r"\b(the|is|are|not|no|of|and|with|allowed|unknown|missing|above|below|already|such|needs?|in)\b"
)
MISTAKES = {
    "an unknown key": ("[box]", "[box]\nseite = 'x'"),
    "a missing key": ('id = "pole-17"', ""),
    "a value of another type": ('driver = "fake"', "driver = 7"),
    "a value out of range": ("[box]", "[record]\nmax_age_h = -1\n[box]"),
    "a value that is not among a few": ("[box]", "[console]\nlanguage = 'de'\n[box]"),
    "a table for a text": ('site = "Bd Mohammed V"', "site = {}"),
    "a pattern": ('name = "north"', 'name = "North Side"'),
    "no TOML": ("[box]", "[box"),
    "a broker without encryption": ("mqtt://127.0.0.1", "mqtt://10.0.0.9"),
    "an unknown model": (
        "[box]",
        "[[camera]]\nname = 'x'\ndriver = 'fake'\ndetect.model = 'yolo'\n[box]",
    ),
}


@pytest.mark.parametrize("language", TRANSLATED)
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_wrong_configuration_is_explained_in_the_language_of_the_session(
    mistake: str, language: Language, tmp_path: Path
) -> None:
    file = tmp_path / "vigie.toml"
    old, new = MISTAKES[mistake]
    text = (
        '[box]\nid = "pole-17"\nsite = "Bd Mohammed V"\n[broker]\nurl = "mqtt://127.0.0.1"\n'
        '[[camera]]\nname = "north"\ndriver = "fake"\n'
    )
    assert old in text
    file.write_text(text.replace(old, new, 1))
    problems = config_check.find_problems(file, ManualClock())
    assert problems
    for problem in problems:
        shown = show(problem, language)
        assert show(problem, "en") == str(problem)
        assert not ENGLISH_WORDS.search(shown.replace(str(file), "")), shown


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_wrong_scene_is_explained_in_the_language_of_the_session(
    language: Language, tmp_path: Path
) -> None:
    file = tmp_path / "vigie.toml"
    file.write_text(
        '[box]\nid = "pole-17"\nsite = "Bd Mohammed V"\n[broker]\nurl = "mqtt://127.0.0.1"\n'
        '[[camera]]\nname = "north"\ndriver = "fake"\n'
    )
    store = DesiredStore(tmp_path)
    for scene, words in (
        ("[[line]]\nname = 'a'\nfrom = [0.1, 0.1]\nto = [0.1, 0.1]", "the same point as"),
        ("[[line]]\nname = 'a'\nfrom = [0.1, 0.1]", "missing; it has to be given"),
        ("[[zone]]\nname = 'a'\npolygon = [[0, 0], [1, 1], [1, 0], [0, 1]]", "its edges cross"),
    ):
        layer = ConfigLayer(scenes={"north": scene})
        with pytest.raises(RefusedVersion) as refused:
            check_version(read_file(file), layer, store, ManualClock())
        (problem,) = refused.value.problems
        assert str(problem).startswith("scenes.north: ")
        assert words in str(problem)
        assert words not in show(problem, language)
        assert "scenes.north" in show(problem, language)


@pytest.mark.parametrize(
    "text",
    [
        describe_status(-9),
        describe_status(3),
        f"{describe_status(-9)} after 1.2 s of processor time, with 80 MB at most",
    ],
)
def test_the_end_of_a_drivers_process_is_translated(text: str) -> None:
    detail = f"camera 'yard': rtsp: its process 4711 {text}"
    assert not re.search(r"\b(process|killed|ended|with|after|most)\b", show(detail, "fr"))


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_drivers_error_reaches_the_page_in_the_language_of_the_session(
    language: Language,
) -> None:
    result = failed(Message("broker"), "head 'mast': is no serial port", "PTZ-01")
    on_page = msgspec.json.encode(result, enc_hook=lambda value: show(value, language)).decode()
    assert "serial" not in on_page


@pytest.mark.parametrize("language", TRANSLATED)
def test_names_and_unknown_text_stay_as_they_are(language: Language) -> None:
    for text in ("heartbeat", "north", "Bd Mohammed V", "casa-0001> ", "a: b; c", ""):
        assert find_detail(text) == text
    long = "no answer: " * MAX_DETAIL_CHARS
    assert find_detail(long) == long
    assert show("\x1b[2J: No such device", language)


def test_a_known_reason_is_found_behind_any_name_and_beside_any_other() -> None:
    detail = "camera 'north': is closed; the stream ended"
    assert show(detail, "fr") == ("caméra 'north'\u00a0: est fermée\u00a0; le flux s'est terminé")
    device = "camera 'yard': device '/dev/v4l/by-id/yard': no such file or device"
    assert show(device, "fr").endswith("\u00a0: fichier ou périphérique absent")


def test_a_hostile_detail_is_bounded() -> None:
    text = "a; b: " * 66
    assert len(text) < MAX_DETAIL_CHARS
    assert find_detail(text) == text


def test_each_sentence_is_found_as_itself() -> None:
    for detail in DETAILS:
        found = find_detail(re.sub(r"{\w+}", "7", detail.sentence))
        assert isinstance(found, Message)
        assert found.sentence == detail.sentence


OF_LIBRARIES = {
    "Bad user name or password",
    "Cannot declare {key} twice",
    "Cannot overwrite a value",
    "Expected '=' after a key in a key/value pair",
    "Expected ']' at the end of a table declaration",
    "Expected ']]' at the end of an array declaration",
    "Expected newline or end of document after a statement",
    "Found invalid character {character}",
    "Hostname mismatch, certificate is not valid for '{host}'.",
    "IP address mismatch, certificate is not valid for '{host}'.",
    "Illegal character {character}",
    "Invalid initial character for a key part",
    "Invalid statement",
    "Invalid value",
    "Name or service not known",
    "No address associated with hostname",
    "Not authorized",
    "Server unavailable",
    "Session taken over",
    "Temporary failure in name resolution",
    "Unclosed array",
    "Unclosed inline table",
    "Unterminated string",
    "[Errno {number}] {reason}",
    "[Errno {number}] {reason}: {path}",
    "certificate has expired",
    "certificate is not yet valid",
    "self-signed certificate",
    "self-signed certificate in certificate chain",
    "unable to get issuer certificate",
    "unable to get local issuer certificate",
    "{reason} (at end of document)",
    "{reason} (at line {line}, column {column})",
}
"""Sentences of the C library, OpenSSL, the broker and tomllib."""
OF_SEVERAL_TEXTS = {
    "address = {address}, and the chain has {count} camera",
    "address = {address}, and the chain has {count} cameras",
    "encoder = 'hardware': it cannot encode {size}",
    "encoder = 'hardware': it is not there (CM4 and Pi 4 have it)",
    "its position is unknown and it has sectors to keep out of",
    "its process uses {count} processor cores; allowed: {allowed}",
    "its process {pid} ended with {status}",
    "its process {pid} ended with {status} after {seconds} s of processor time, with {size} MB at most",
    "its process {pid} has ended with its fork server",
    "its process {pid} was killed by {signal}",
    "its process {pid} was killed by {signal} after {seconds} s of processor time, with {size} MB at most",
    "the agent ended without stopping in order; systemd reports '{result}'",
}
"""Sentences that the code puts together."""


def sentences(text: Text) -> set[str]:
    if isinstance(text, str):
        return set()
    return {text.sentence}.union(*map(sentences, text.values.values()))  # type: ignore[arg-type]


def test_no_sentence_is_kept_that_nothing_writes_any_more() -> None:
    kernel = {os.strerror(number) for number in errno.errorcode}
    written = set().union(*(sentences(find_detail(text)) for text in read_code().texts | kernel))
    kept = {detail.sentence for detail in DETAILS}
    assert kept - written == OF_LIBRARIES | OF_SEVERAL_TEXTS


def test_each_answer_of_another_process_to_the_console_is_recognised() -> None:
    answers = {
        text: place
        for text, place in written_errors("UserError").items()
        if STAY_ENGLISH.get(place.partition(":")[0]) == "a reply of the agent's process"
    }
    assert len(answers) > 5
    unknown = [text for text in answers if remainder(find_detail(text))]
    assert unknown == []
