#!/usr/bin/env bash
# latex2mathml 3.81.1: `aligned`, the environment in which a display formula has several lines, is taken for nothing: the
# lines are one row, and the `&` that marks where they align comes out as a bare ampersand in an element, which no XML
# parser reads. The starred `align*`, which LaTeX does not allow in a formula, is a table of right and left columns.
#
# Seen on CPython 3.11, Linux x86-64:
#   aligned: 0 tables, 2 bare ampersands, ParseError
#   align*: 1 tables, 0 bare ampersands, well-formed
#
# Exits 0 where it behaves so, 1 where it no longer does. It needs Python 3.11 or newer, and network for pip.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet latex2mathml==3.81.1
cat > show.py <<'PYTHON'
import sys
from xml.etree import ElementTree

from latex2mathml.converter import convert

seen = []
for name in ("aligned", "align*"):
    text = convert(rf"\begin{{{name}}} a &= b \\ c &= d \end{{{name}}}", display="block")
    try:
        ElementTree.fromstring(text)
        parsed = "well-formed"
    except ElementTree.ParseError as error:
        parsed = type(error).__name__
    seen.append(f"{name}: {text.count('<mtable')} tables, {text.count('<mi>&</mi>')} bare ampersands, {parsed}")
print("\n".join(seen))
wanted = ["aligned: 0 tables, 2 bare ampersands, ParseError", "align*: 1 tables, 0 bare ampersands, well-formed"]
sys.exit(0 if seen == wanted else 1)
PYTHON
venv/bin/python show.py || { echo "changed: see above"; exit 1; }
