"""python -m images: build an image, or the bundle that updates to it."""

import argparse
import time
from pathlib import Path

from agent import __version__
from agent.update import versions
from images import bundles, certificates, image
from images.target import ARCHITECTURES, MKOSI, Target


def build(target: Target, arguments: argparse.Namespace) -> None:
    """One image: a disk, its slot images, and what they consist of."""
    begun = time.monotonic()
    sources = image.Sources(
        mirror=arguments.mirror,
        security_mirror=arguments.security_mirror,
        board_mirror=arguments.raspberrypi_mirror,
        board_keyring=arguments.raspberrypi_keyring,
        board_packages=arguments.raspberrypi_packages,
    )
    for path in image.build(target, arguments.keyring, sources, cold=arguments.cold):
        print(f"{path.relative_to(image.ROOT)}: {image.held_bytes(path) / 1e6:.1f} MB")
    print(f"built in {time.monotonic() - begun:.0f} s")


def bundle(target: Target, arguments: argparse.Namespace) -> None:
    """One bundle, of the slot images that `build` has made."""
    begun = time.monotonic()
    test = image.TEST_CA
    if not arguments.certificate:
        certificates.make(test)
    signer = bundles.Signer(
        certificate=arguments.certificate or test / "signer.pem",
        key=arguments.key or test / "signer.key",
        keyring=arguments.keyring or test / "ca.pem",
    )
    output = arguments.output or image.output(target) / f"{image.stem(target)}.raucb"
    root = arguments.root or image.output(target) / f"{image.stem(target)}.root.img"
    boot = arguments.boot or image.output(target) / f"{image.stem(target)}.boot.img"
    bundles.make(target, root, boot, signer, output, downgrade=arguments.downgrade)
    print(f"{output}: {output.stat().st_size / 1e6:.1f} MB, in {time.monotonic() - begun:.0f} s")


def main() -> None:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="python -m images", description=__doc__)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("profile", choices=ARCHITECTURES)
    common.add_argument("architecture", choices=sorted(MKOSI))
    common.add_argument("--version", default=__version__, help="of the image: IMAGE_VERSION")
    common.add_argument("--keyring", type=Path, help="who may sign bundles; a test CA if not given")
    commands = parser.add_subparsers(required=True)

    one = commands.add_parser("build", parents=[common], help="build an image, as root")
    one.set_defaults(command=build)
    one.add_argument("--cold", action="store_true", help="without what an earlier build has kept")
    one.add_argument("--mirror", help="of Debian, in place of this machine's sources")
    one.add_argument("--security-mirror", default="http://security.debian.org/debian-security")
    one.add_argument("--raspberrypi-mirror", help="Raspberry Pi's archive: the pi profile needs it")
    one.add_argument("--raspberrypi-keyring", type=Path, help="the key that archive is signed with")

    one.add_argument(
        "--raspberrypi-packages",
        type=Path,
        default=image.PI_PACKAGES,
        help="a file that names what is taken from there",
    )

    two = commands.add_parser("bundle", parents=[common], help="make and sign its update bundle")
    two.set_defaults(command=bundle)
    two.add_argument("--certificate", type=Path, help="of the signer; the test CA's if not given")
    two.add_argument("--key", type=Path, help="the signer's private key")
    two.add_argument("--downgrade", action="store_true", help="boxes may go back to this version")
    two.add_argument("--root", type=Path, help="another root image than the one built last")
    two.add_argument("--boot", type=Path, help="another boot image")
    two.add_argument("--output", type=Path)

    arguments = parser.parse_args()
    able = ARCHITECTURES[arguments.profile]
    if arguments.architecture not in able:
        parser.error(f"{arguments.profile} is built for {' and '.join(able)} only")
    try:
        versions.key(arguments.version)
    except ValueError as error:
        # No box would ever update from it.
        parser.error(f"--version {error}")
    target = Target(
        profile=arguments.profile,
        architecture=arguments.architecture,
        version=arguments.version,
    )
    arguments.command(target, arguments)


if __name__ == "__main__":
    main()
