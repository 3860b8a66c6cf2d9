"""``tinyseq doctor``: what is there to run on, and what is missing."""

from __future__ import annotations

import importlib.util
import platform
import shutil
import sys
from collections.abc import Iterator

import click
import numpy as np

import tinyseq
from tinyseq import backends
from tinyseq.backends import cuda
from tinyseq.cli.boundary import debug_option
from tinyseq.cli.output import echo
from tinyseq.errors import BackendError
from tinyseq.terminal import is_terminal, tell

#: Extra -> the module that shows that it is installed, and what it is for.
EXTRAS = {
    "llvm": ("llvmlite", "plans compiled to native code on a CPU"),
    "dot": ("pygraphviz", "Graphviz, for pictures by its own layout"),
    "digits": ("sklearn", "the handwritten digits of examples/digits.yaml"),
    "reservoir": ("scipy", "the spectral radius of large reservoirs, quickly"),
    "bleu": ("sacrebleu", "BLEU as the literature counts it"),
    "parity": ("torch", "the tests against PyTorch"),
}

Row = tuple[str, str, str]  # what, how it is, and what to type where something is missing


@click.command("doctor", short_help="What is there to run on, and what is missing.")
@debug_option
def command() -> None:
    """Show Python, BLAS, CUDA, Graphviz and the extras, each with the line that installs what is missing.

    \b
        tinyseq doctor > machine.txt
    """
    for title, rows in (("CPU", _cpu()), ("GPU", _gpu()), ("Pictures", _pictures()), ("Extras", _extras())):
        tell(click.style(title, bold=True) if is_terminal(sys.stdout) else title, sys.stdout)
        for what, state, fix in rows:
            echo(f"  {what:<10}{state}" + (f"\n  {'':<10}try: {fix}" if fix else ""))


def _cpu() -> Iterator[Row]:
    from tinyseq.train.loop.environment import blas

    library = blas()
    yield "tinyseq", f"{tinyseq.__version__}, Python {platform.python_version()}, {platform.platform()}", ""
    threads = library["threads"]
    counted = "threads unknown" if not threads else f"threads {', '.join(map(str, threads))}"
    yield "NumPy", f"{np.__version__}, {library['name']} {library['version']}, {counted}", ""


def _gpu() -> Iterator[Row]:
    driver, wheels = cuda.driver(), cuda.wheels()
    if driver is None:
        yield "driver", "none: no NVIDIA driver on this machine", "an NVIDIA GPU with its driver, or backend: numpy"
    else:
        yield "driver", f"supports {driver}, sees {driver.devices} device(s)", ""
    if not wheels:
        yield "CuPy", "not installed", cuda.pip_line(driver)
    elif len(wheels) > 1:
        yield "CuPy", f"several at once: {', '.join(wheels)}", f"pip uninstall {' '.join(wheels)}, then install one"
    else:
        ((name, version),) = wheels.items()
        yield "CuPy", f"{name} {version}", ""
    try:
        backend = backends.load("cupy")
    except BackendError as error:
        yield "backend", f"does not run: {error.what}", ""
        return
    about, memory = backend.describe(), backend.memory()
    yield "device", f"{about['device']}, CUDA runtime {about['cuda_runtime']}", ""
    yield "memory", f"{memory['free_bytes'] / 2**30:.1f} GiB free of {memory['total_bytes'] / 2**30:.1f} GiB", ""


def _pictures() -> Iterator[Row]:
    yield "grid", "our own layout: SVG, HTML, PNG, PDF", ""
    bundled = "inside pygraphviz" if importlib.util.find_spec("pygraphviz") else ""
    yield "Graphviz", shutil.which("dot") or bundled or "not installed: only engine='graphviz' needs it", ""


def _extras() -> Iterator[Row]:
    for extra, (module, purpose) in EXTRAS.items():
        there = importlib.util.find_spec(module) is not None
        yield (
            extra,
            f"{'installed' if there else 'missing'}: {purpose}",
            "" if there else f'pip install "tinyseq[{extra}]"',
        )
