"""Builds the site, course and all, into a folder that any static host serves: `python docs/build.py -o site`.

It needs the extra `course` (Sphinx, MyST-NB). A warning is an error; every cell of the course is executed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent


def build(target: Path, pyodide: str | None = None, source_url: str | None = None) -> int:
    """Build the site into a folder and return Sphinx's exit code."""
    settings = {"playground_pyodide": pyodide, "source_url": source_url}
    defined = [f"-D{name}={value}" for name, value in settings.items() if value]
    # The kernels that run the cells see this checkout, whatever is installed.
    paths = [str(DOCS.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    # One page at a time: two kernels that start at once may choose the same port.
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", *defined]
    return subprocess.run([*command, str(DOCS), str(target)], env=environment, check=False).returncode


def main() -> int:
    """Parse the command line and build."""
    parser = argparse.ArgumentParser(description="Build the site into a folder that any static host serves.")
    parser.add_argument("-o", "--output", type=Path, default=Path("site"))
    parser.add_argument("--pyodide", help="address of a Pyodide distribution; a path is relative to _static/")
    parser.add_argument("--source-url", help="where the repository's files can be read, for links into the code")
    given = parser.parse_args()
    return build(given.output, given.pyodide, given.source_url)


if __name__ == "__main__":
    sys.exit(main())
