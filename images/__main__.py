"""python -m images: build an image, or the bundle that updates to it."""

import argparse
import time
from pathlib import Path

from agent import __version__
from agent.update import versions
from images import bundles, certificates, image
from images.target import ARCHITECTURES, MKOSI_ARCHITECTURES, BuildTarget


def build_image(target: BuildTarget, arguments: argparse.Namespace) -> None:
    """Build one image: disk, slot images, list of packages and licences."""
    start_s = time.monotonic()
    sources = image.PackageSources(
        mirror=arguments.mirror,
        security_mirror=arguments.security_mirror,
        board_mirror=arguments.raspberrypi_mirror,
        board_keyring=arguments.raspberrypi_keyring,
        board_packages=arguments.raspberrypi_packages,
    )
    for path in image.build_image(target, arguments.keyring, sources, cold=arguments.cold):
        print(f"{path.relative_to(image.ROOT)}: {image.allocated_bytes(path) / 1e6:.1f} MB")
    print(f"built in {time.monotonic() - start_s:.0f} s")


def build_bundle(target: BuildTarget, arguments: argparse.Namespace) -> None:
    """Build one signed bundle of the slot images that `build` has made."""
    start_s = time.monotonic()
    test_ca = image.TEST_CA
    if not arguments.certificate:
        certificates.make_test_ca(test_ca)
    signer = bundles.BundleSigner(
        certificate=arguments.certificate or test_ca / "signer.pem",
        key=arguments.key or test_ca / "signer.key",
        keyring=arguments.keyring or test_ca / "ca.pem",
    )
    output = arguments.output or image.output_folder(target) / f"{image.file_stem(target)}.raucb"
    root = arguments.root or image.output_folder(target) / f"{image.file_stem(target)}.root.img"
    boot = arguments.boot or image.output_folder(target) / f"{image.file_stem(target)}.boot.img"
    bundles.make_bundle(target, root, boot, signer, output, allow_downgrade=arguments.downgrade)
    print(f"{output}: {output.stat().st_size / 1e6:.1f} MB, in {time.monotonic() - start_s:.0f} s")


def main() -> None:
    """Parse the command line and run its command."""
    parser = argparse.ArgumentParser(prog="python -m images", description=__doc__)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("profile", choices=ARCHITECTURES)
    common.add_argument("architecture", choices=sorted(MKOSI_ARCHITECTURES))
    common.add_argument("--version", default=__version__, help="of the image: IMAGE_VERSION")
    common.add_argument(
        "--keyring", type=Path, help="authorities that may sign bundles; default: a test CA"
    )
    commands = parser.add_subparsers(required=True)

    build_parser = commands.add_parser("build", parents=[common], help="build an image, as root")
    build_parser.set_defaults(command=build_image)
    build_parser.add_argument(
        "--cold", action="store_true", help="without the cache of an earlier build"
    )
    build_parser.add_argument("--mirror", help="of Debian; default: the sources of this machine")
    build_parser.add_argument(
        "--security-mirror", default="http://security.debian.org/debian-security"
    )
    build_parser.add_argument(
        "--raspberrypi-mirror", help="Raspberry Pi's archive, required by the pi profile"
    )
    build_parser.add_argument(
        "--raspberrypi-keyring", type=Path, help="the signing key of that archive"
    )

    build_parser.add_argument(
        "--raspberrypi-packages",
        type=Path,
        default=image.PI_PACKAGES,
        help="a file with the names of the packages from that archive",
    )

    bundle_parser = commands.add_parser(
        "bundle", parents=[common], help="make and sign its update bundle"
    )
    bundle_parser.set_defaults(command=build_bundle)
    bundle_parser.add_argument(
        "--certificate", type=Path, help="of the signer; default: the test CA's"
    )
    bundle_parser.add_argument("--key", type=Path, help="the signer's private key")
    bundle_parser.add_argument(
        "--downgrade", action="store_true", help="boxes may go back to this version"
    )
    bundle_parser.add_argument(
        "--root", type=Path, help="another root image than the one built last"
    )
    bundle_parser.add_argument("--boot", type=Path, help="another boot image")
    bundle_parser.add_argument("--output", type=Path)

    arguments = parser.parse_args()
    architectures = ARCHITECTURES[arguments.profile]
    if arguments.architecture not in architectures:
        parser.error(f"{arguments.profile} is built for {' and '.join(architectures)} only")
    try:
        versions.version_key(arguments.version)
    except ValueError as error:
        # A box never updates from a version that it cannot compare.
        parser.error(f"--version {error}")
    target = BuildTarget(
        profile=arguments.profile,
        architecture=arguments.architecture,
        version=arguments.version,
    )
    arguments.command(target, arguments)


if __name__ == "__main__":
    main()
