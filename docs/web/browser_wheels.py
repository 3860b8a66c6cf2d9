"""The packages that a page of the site loads into its Python: what runs in a browser, and nothing more."""

from __future__ import annotations

import zipfile
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import tinyseq

ROOT = Path(__file__).resolve().parents[2]
#: What runs in a browser leaves these out: native code and CUDA, the trainer and its command line.
LEFT_OUT = (
    "tinyseq/backends/cuda.py", "tinyseq/backends/cupy.py", "tinyseq/backends/llvm.py", "tinyseq/cli/",
    "tinyseq/compiler/lower/cupy/", "tinyseq/compiler/lower/llvm/", "tinyseq/figures/", "tinyseq/nn/convert/",
    "tinyseq/train/", "tinyseq/data/",
)  # fmt: skip


def wheel(version: str, package: Path, target: Path, left_out: tuple[str, ...] = ()) -> Path:
    """Write a package of pure Python as a wheel, the same bytes each time, and return its path."""
    name = package.name
    path = target / f"{name}-{version}-py3-none-any.whl"
    files = {
        file.relative_to(package.parent).as_posix(): file.read_bytes()
        for file in sorted(package.rglob("*"))
        if file.is_file() and "__pycache__" not in file.parts
    }
    kept = {place: data for place, data in files.items() if not place.startswith(left_out)}
    info = f"{name}-{version}.dist-info"
    kept[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode()
    kept[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: tinyseq docs\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    kept[f"{info}/RECORD"] = "".join(f"{place},,\n" for place in [*kept, f"{info}/RECORD"]).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for place, data in kept.items():
            archive.writestr(zipfile.ZipInfo(place), data, zipfile.ZIP_DEFLATED, 9)
    return path


def browser_wheels(target: Path) -> list[Path]:
    """Write the engine, and what turns its equations into MathML, as wheels into a folder."""
    spec = find_spec("latex2mathml")
    assert spec
    assert spec.origin
    return [
        wheel(tinyseq.__version__, ROOT / "tinyseq", target, LEFT_OUT),
        wheel(metadata.version("latex2mathml"), Path(spec.origin).parent, target),
    ]
