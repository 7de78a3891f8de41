"""Python runs this at its start where this folder is in PYTHONPATH.

It costs nothing until Picamera2 is imported; that is then changed as far as it must be to run on
libcamera's virtual pipeline.
"""

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType

PATCHING_MODULES = {
    "picamera2.picamera2": "virtual_pipeline",
    "picamera2.devices.imx500.imx500": "virtual_imx500",
}


class _PatchingLoader(importlib.abc.Loader):
    def __init__(self, loader: importlib.abc.Loader, patching_module: str) -> None:
        self._loader = loader
        self._patching_module = patching_module

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        # It needs libcamera, and few processes have it.
        importlib.import_module(self._patching_module).change(module)


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        patching_module = PATCHING_MODULES.get(fullname)
        if patching_module is None:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _PatchingLoader(spec.loader, patching_module)
        return spec


sys.meta_path.insert(0, _Finder())
