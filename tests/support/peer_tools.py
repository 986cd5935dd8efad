"""Other implementations of the format, as tests ask them."""

import importlib.util
import os
import shutil
import subprocess

PEERS_REQUIRED = os.environ.get("VHDX_REQUIRE_PEERS") == "1"
_MODULES = {"pyvhdi", "pyewf", "pyqcow", "pyvmdk", "dissect.hypervisor"}


def missing_peer(name):
    """Whether the program or module `name` is not installed."""
    if name not in _MODULES:
        return shutil.which(name) is None
    try:
        return importlib.util.find_spec(name) is None
    except ModuleNotFoundError:  # the package around it is missing
        return True


def qemu_img(*arguments):
    """The output of qemu-img; raises CalledProcessError when it is not content."""
    return subprocess.run(["qemu-img", *arguments], check=True, capture_output=True).stdout


def libvhdi_disk(paths):
    """The disk that libvhdi makes of files, base first."""
    import pyvhdi

    layers = []
    for path in paths:
        layer = pyvhdi.file()
        layer.open(str(path))
        if layers:
            layer.set_parent(layers[-1])
        layers.append(layer)
    return layers[-1], layers


def image_cat(path):
    """The disk that The Sleuth Kit finds in an image."""
    return subprocess.run(["img_cat", path], check=True, capture_output=True).stdout
