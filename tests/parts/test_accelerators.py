"""drivers.accelerators: what `vigie probe` finds of accelerators, on trees of the kernel's files."""

import tomllib
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from agent.cli import probe_tables
from agent.config.configuration import Config
from agent.detection import accelerator_card
from agent.diagnostics.probe import scan
from agent.diagnostics.probe.config_snippet import render_snippet
from agent.diagnostics.probe.results import FoundAccelerators, ProbeResult, ProbeSection
from drivers.accelerators import Accelerator, find_accelerators
from drivers.csi.camera_modules import CameraModule

NODE = "/base/axi/pcie@1000120000/rp1/i2c@88000/imx500@1a"
BOX = '[box]\nid = "b"\nsite = "x"\n[broker]\nurl = "mqtt://127.0.0.1:1"\n'


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def fit_hailo(root: Path, place: str, device_id: str, node: str | None) -> None:
    folder = root / "sys/bus/pci/devices" / place
    write(folder / "vendor", "0x1e60\n")
    write(folder / "device", f"{device_id}\n")
    if node is not None:
        write(folder / f"class/{node}/uevent", f"MAJOR=510\nMINOR=0\nDEVNAME={node}\n")
        write(root / "dev" / node, "")


def fit_imx500(root: Path, *, has_driver: bool = True) -> None:
    tree = root / f"sys/firmware/devicetree{NODE}"
    write(tree / "compatible", "sony,imx500\0")
    folder = root / "sys/bus/i2c/devices/10-001a"
    folder.mkdir(parents=True)
    (folder / "of_node").symlink_to(tree)
    if has_driver:
        write(folder / "video4linux/v4l-subdev2/name", "imx500")
        write(root / "dev/v4l-subdev2", "")


def test_each_hailo_is_found_by_its_pci_ids(tmp_path: Path) -> None:
    fit_hailo(tmp_path, "0000:01:00.0", "0x2864", "hailo0")
    fit_hailo(tmp_path, "0001:01:00.0", "0x45c4", "h1x-0")
    fit_hailo(tmp_path, "0002:01:00.0", "0x9999", None)
    write(tmp_path / "sys/bus/pci/devices/0003:01:00.0/vendor", "0x8086\n")
    first, second, third = find_accelerators(tmp_path)
    assert (first.name, first.device, first.state) == ("Hailo-8 or Hailo-8L", "/dev/hailo0", "free")
    assert (second.name, second.device) == ("Hailo-10H", "/dev/h1x-0")
    assert (third.name, third.device, third.state) == ("Hailo, device 0x9999", None, "absent")


def test_an_imx500_is_found_by_the_device_tree_and_has_libcameras_id(tmp_path: Path) -> None:
    fit_imx500(tmp_path)
    (found,) = find_accelerators(tmp_path)
    assert (found.kind, found.place, found.device) == ("imx500", NODE, "/dev/v4l-subdev2")


def test_a_sensor_without_its_kernel_driver_is_absent(tmp_path: Path) -> None:
    fit_imx500(tmp_path, has_driver=False)
    (found,) = find_accelerators(tmp_path)
    assert (found.device, found.state) == (None, "absent")


def test_a_device_that_this_user_may_not_open_is_denied(tmp_path: Path) -> None:
    fit_hailo(tmp_path, "0000:01:00.0", "0x2864", "hailo0")
    (found,) = find_accelerators(tmp_path, lambda _path, _mode: False)
    assert found.state == "denied"


def test_a_machine_without_any_has_none(tmp_path: Path) -> None:
    assert find_accelerators(tmp_path) == ()


@pytest.fixture
def probed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProbeResult:
    """The cards' files in a folder of this test, all but one installed."""
    fit_imx500(tmp_path)
    fit_hailo(tmp_path, "0000:01:00.0", "0x2864", "hailo0")
    cards = tmp_path / "cards"
    for name in accelerator_card.list_card_names():
        text = (accelerator_card.CARDS_FOLDER / f"{name}.toml").read_text()
        write(cards / f"{name}.toml", text.replace('file = "/usr', f'file = "{tmp_path}/usr'))
    monkeypatch.setattr(accelerator_card, "CARDS_FOLDER", cards)
    for name in ("imx500_nanodet_plus", "imx500_ssd_mobilenetv2", "hailo_yolox_s"):
        write(Path(accelerator_card.load_card(name).file), name)
    module = CameraModule(number=0, id=NODE, model="imx500")
    return ProbeResult(
        camera_modules=ProbeSection(found=(module,)),
        accelerators=scan.find_models(find_accelerators(tmp_path)),
    )


def test_the_installed_models_of_the_fitted_kinds_are_found_with_their_hashes(
    probed: ProbeResult,
) -> None:
    names = [model.model for model in probed.accelerators.models]
    assert names == ["hailo_yolox_s", "imx500_nanodet_plus", "imx500_ssd_mobilenetv2"]
    only_hailo = tuple(one for one in probed.accelerators.found if one.kind == "hailo")
    assert [model.kind for model in scan.find_models(only_hailo).models] == ["hailo"]


def test_the_snippet_is_a_valid_table_for_the_module_and_a_comment_for_a_hailo(
    probed: ProbeResult,
) -> None:
    text = render_snippet(probed)
    config = msgspec.convert({**tomllib.loads(BOX), **tomllib.loads(text)}, Config)
    accelerator = config.camera[0].detect.accelerator
    assert accelerator is not None
    assert accelerator.model == "imx500_nanodet_plus"
    assert accelerator.sha256 == probed.accelerators.models[1].sha256
    hailo = text[text.index("# Hailo-8") :].replace("# ", "").partition("\n")[2]
    assert tomllib.loads(hailo)["camera"]["detect"]["accelerator"]["model"] == "hailo_yolox_s"


def test_the_table_names_the_devices_and_what_is_not_installed(probed: ProbeResult) -> None:
    console = Console(width=200, record=True)
    alone = msgspec.structs.replace(probed.accelerators, models=probed.accelerators.models[:1])
    probe_tables.print_results(msgspec.structs.replace(probed, accelerators=alone), console)
    text = console.export_text()
    assert "Hailo-8 or Hailo-8L" in text
    assert "/dev/v4l-subdev2" in text
    assert "model hailo_yolox_s: " in text
    assert "imx500: no model is installed" in text


def test_a_module_without_an_installed_model_has_no_table(probed: ProbeResult) -> None:
    bare = FoundAccelerators(found=(Accelerator(kind="imx500", name="IMX500", place=NODE),))
    text = render_snippet(msgspec.structs.replace(probed, accelerators=bare))
    assert "detect" not in tomllib.loads(text)["camera"][0]
    assert "# imx500: no model is installed" in text
