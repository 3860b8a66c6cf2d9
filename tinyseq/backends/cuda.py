"""What there is of CUDA on a machine, asked without CuPy: the driver, the wheel, and the pip line that is missing."""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

#: The wheels of CuPy that the extras install, and the first CUDA version of a driver that runs them.
WHEELS = {"cuda13": ("cupy-cuda13x", 13000), "cuda12": ("cupy-cuda12x", 12000)}


@dataclass(frozen=True)
class Driver:
    """The NVIDIA driver: the CUDA version that it supports, as 1000 major + 10 minor, and how many devices it sees."""

    cuda: int
    devices: int

    def __str__(self) -> str:
        return f"CUDA {self.cuda // 1000}.{self.cuda % 1000 // 10}"


def driver() -> Driver | None:
    """Return the driver, or None where there is none (or one too broken to answer)."""
    try:
        library = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return None
    driver, devices = ctypes.c_int(), ctypes.c_int()
    if library.cuDriverGetVersion(ctypes.byref(driver)):
        return None
    if library.cuInit(0) or library.cuDeviceGetCount(ctypes.byref(devices)):
        devices.value = 0
    return Driver(driver.value, devices.value)


def wheels() -> dict[str, str]:
    """Return the installed wheels of CuPy and their versions; more than one disturb each other."""
    versions = {}
    for name in ("cupy", *(wheel for wheel, _ in WHEELS.values())):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def pip_line(driver: Driver | None) -> str:
    """Return the command that installs the wheel for this driver."""
    for extra, (_, first) in WHEELS.items():
        if driver is not None and driver.cuda >= first:
            return f'pip install "tinyseq[{extra}]"'
    return 'pip install "tinyseq[cuda12]" (or tinyseq[cuda13], by your driver)'
