"""Make the stored vectors of the libraries that are installed: ``python tests/parity/make_vectors.py [LIBRARY...]``.

It needs NumPy, the library and Python 3.8, and not tinyseq. For each case a file has the library's tensors, drawn at
random without any symmetry, under the names and in the shapes that the library itself says; inputs, states and lengths;
and what the library computed, row by row. Versions and date stand in the file.
"""

import datetime
import importlib.util
import io
import json
import sys
import zipfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent / "tinyseq" / "nn" / "convert"
BATCH, TIME = 3, 6
LENGTHS = (6, 4, 1)


def load_runners():
    spec = importlib.util.spec_from_file_location("runners", ROOT / "runners.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["runners"] = module
    spec.loader.exec_module(module)
    return module


def version_of(module):
    from importlib.metadata import version

    names = {"haiku": "dm-haiku", "paddle": "paddlepaddle", "dynet": "dyNET38"}
    return version(names.get(module, module))


def draw(rng, shape, scale=0.6):
    return rng.normal(0.1, scale, shape).astype(np.float32)


def vectors(runners, library):
    make, module = runners.RUNNERS[library]
    result = {}
    for name, options in runners.CASES[library].items():
        rng = np.random.default_rng(sum(map(ord, library + name)))
        case = runners.case_of(name, options)
        shapes, run = make(case)
        arrays = {key: draw(rng, shape) for key, shape in shapes.items()}
        if library == "reservoirpy":
            arrays["lr"] = np.float64(0.3)
            arrays = {key: np.asarray(value, np.float64) for key, value in arrays.items()}
        if library == "thinc":
            width = case.hidden * case.directions
            arrays.update(nI=np.int64(case.input), nO=np.int64(width), depth=np.int64(case.layers))
            arrays["dirs"] = np.int64(case.directions)
        cells = case.layers * case.directions
        xs = draw(rng, (BATCH, TIME, case.input), 1.0)
        h = draw(rng, (BATCH, cells, case.hidden))
        c = draw(rng, (BATCH, cells, case.hidden)) if case.kind == "lstm" else None
        ys = np.zeros((BATCH, TIME, case.directions * case.hidden), np.float64)
        for b, length in enumerate(LENGTHS):
            ys[b, :length] = run(arrays, xs[b, :length].copy(), h[b].copy(), None if c is None else c[b].copy())
        held = {f"{name}|weights|{key}": value for key, value in arrays.items()}
        held.update({f"{name}|xs": xs, f"{name}|h": h, f"{name}|ys": ys.astype(np.float32)})
        held[f"{name}|lengths"] = np.array(LENGTHS)
        if c is not None:
            held[f"{name}|c"] = c
        result.update(held)
        print(library, name, {key: value.shape for key, value in arrays.items()})
    told = {
        "library": library, "version": version_of(module), "numpy": np.__version__, "python": sys.version.split()[0],
        "date": datetime.date.today().isoformat(), "cases": runners.CASES[library],
    }  # fmt: skip
    return result, told


def write(path, arrays, told):
    """A .npz without times in it, so that the same vectors are the same bytes, and a .json beside it."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            file = io.BytesIO()
            np.lib.format.write_array(file, np.asarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(name.replace("/", "%2F") + ".npy"), file.getvalue())
    path.with_suffix(".json").write_text(json.dumps(told, indent=1) + "\n")


def main():
    runners = load_runners()
    for library in sys.argv[1:] or [name for name in runners.RUNNERS if runners.installed(name)]:
        write(ROOT / "stored" / f"{library}.npz", *vectors(runners, library))


if __name__ == "__main__":
    main()
