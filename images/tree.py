"""The tree that is laid over the packages: the agent, its units, and RAUC's configuration."""

import shutil
import subprocess
from pathlib import Path

from images import wheels
from images.target import Target

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "images" / "recipe"
LOCK = ROOT / "images" / "requirements-box.lock"

VENV = Path("opt/vigie")
SOURCES = ("agent", "drivers", "pyproject.toml", "README.md", "LICENSE", "NOTICE")
NOT_ON_A_BOX = (
    # The scripts of other packages have no use, and shebangs of the machine that built this.
    "bin",
    "setuptools*",
    "_distutils_hack",
    "distutils-precedence.pth",
    "ai_edge_litert/libLiteRtWebGpuAccelerator.so",
    "ai_edge_litert/tools",
    "numpy/_pyinstaller",
    "numpy/f2py",
    "**/tests",
    "**/*.pyi",
)
"""Within site-packages."""

SCRIPT = """#!/{venv}/bin/python
import sys
from {module} import {function}
sys.exit({function}())
"""


def agent_wheel(work: Path) -> Path:
    """The agent as a wheel, from a clean copy: a folder that was built in before keeps what is gone."""
    source, made = work / "source", work / "wheel"
    for folder in (source, made):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy(ROOT / name, source / name)
    words = ("wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir")
    subprocess.run([*wheels.PIP, *words, str(made), str(source)], check=True)
    return next(made.glob("vigie-*.whl"))


def lay_agent(target: Target, tree: Path, cache: Path, work: Path) -> None:
    """The agent's virtual environment, as `python -m venv` makes it, without pip."""
    agent = agent_wheel(work)
    others = sorted(wheels.fetch(LOCK, target.architecture, cache).glob("*.whl"))
    venv = tree / VENV
    site_packages = venv / "lib" / f"python{wheels.PYTHON}" / "site-packages"
    site_packages.mkdir(parents=True)
    wheels.install([agent, *others], target.architecture, site_packages)
    for pattern in NOT_ON_A_BOX:
        for path in list(site_packages.glob(pattern)):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
    forget_where_from(site_packages)
    (venv / "bin").mkdir()
    (venv / "bin" / "python").symlink_to("python3")
    (venv / "bin" / "python3").symlink_to("/usr/bin/python3")
    system = "true" if target.profile == "pi" else "false"
    (venv / "pyvenv.cfg").write_text(
        f"home = /usr/bin\ninclude-system-site-packages = {system}\nversion = {wheels.PYTHON}\n"
    )
    for name, place in wheels.commands(agent).items():
        module, _, function = place.partition(":")
        script = venv / "bin" / name
        script.write_text(SCRIPT.format(venv=VENV, module=module, function=function))
        script.chmod(0o755)


def forget_where_from(site_packages: Path) -> None:
    """Drop what pip noted of this machine: the files that it installed from, and the scripts, which name
    its interpreter and are not on a box.
    """
    for record in site_packages.glob("*.dist-info/RECORD"):
        note = record.with_name("direct_url.json")
        gone = ("../../bin/", f"{note.parent.name}/{note.name},")
        lines = record.read_text().splitlines(keepends=True)
        record.write_text("".join(line for line in lines if not line.startswith(gone)))
        note.unlink(missing_ok=True)


def lay(target: Target, keyring: Path, tree: Path, cache: Path, work: Path) -> None:
    """All of it, from nothing."""
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    lay_agent(target, tree, cache, work)
    subprocess.run([ROOT / "systemd" / "install", tree, "/usr"], check=True)
    rauc = tree / "etc" / "rauc"
    rauc.mkdir(parents=True)
    text = (RECIPE / "rauc-system.conf").read_text()
    (rauc / "system.conf").write_text(text.replace("@COMPATIBLE@", target.compatible))
    shutil.copy(keyring, rauc / "keyring.pem")
