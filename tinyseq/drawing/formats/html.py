"""The picture as one HTML file: data, script and style in it, no network, nothing to install.

The parts are real files in ``assets/`` and are put together here. Names reach the page only as JSON, of which no
character can end the element it stands in, and the script sets them as text. The policy in the head lets nothing run
but the script and style whose digests it names, and nothing be loaded at all.
"""

from __future__ import annotations

import base64
import hashlib
import json
import string
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any, Final

from tinyseq.drawing.shared.palette import DARK, LIGHT, Ink

SCRIPTS: Final = ("scene.js", "layout.js", "shapes.js", "picture.js", "words.js", "page.js", "time.js", "controls.js")
_LIGHT: Final = {
    "back": "#f3f5f7", "card": "#ffffff", "ink": "#1b1f24", "soft": "#58636e", "edge": "#c9d1d8", "veil": "#ffffffd9",
    "accent": "#0072b2", "hit": "#d55e00", "play": "#b0307e",
}  # fmt: skip
_DARK: Final = {
    "back": "#0f1215", "card": "#1b2025", "ink": "#eef2f5", "soft": "#a3afba", "edge": "#3a434c", "veil": "#16191dd9",
    "accent": "#56b4e9", "hit": "#ff8c42", "play": "#f07fbd",
}  # fmt: skip


def to_html(document: dict[str, Any]) -> str:
    """Return a self-contained page of a document (see ``json.py``)."""
    style, script = _style(), _script()
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return string.Template(_asset("page.html")).substitute(
        policy=policy,
        title=escape(document["title"] or "Computational graph"),
        style=style,
        script=script,
        data=embedded(document),
    )


def embedded(value: Any) -> str:
    """Return JSON that is safe inside a script element: ASCII, and no <, > or & in it."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@cache
def _asset(name: str) -> str:
    return files("tinyseq.drawing").joinpath("assets", name).read_text(encoding="utf-8")


@cache
def _script() -> str:
    return '(() => {\n"use strict";\n' + "\n".join(map(_asset, SCRIPTS)) + "})();\n"


@cache
def _style() -> str:
    light, dark = _variables(LIGHT, _LIGHT), _variables(DARK, _DARK)
    fills = "".join(
        f".{kind}>rect,.{kind}>path{{fill:var(--{kind}-fill);stroke:var(--{kind}-line)}}"
        f".{kind}>text{{fill:var(--{kind}-text)}}\n"
        for kind in LIGHT
        if kind not in ("page", "state", "cut")
    )
    return (
        f":root{{color-scheme:light dark;{light}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\n"
        f":root[data-theme=light]{{color-scheme:light;{light}}}\n"
        f"@media screen{{:root[data-theme=dark]{{color-scheme:dark;{dark}}}}}\n" + fills + _asset("page.css")
    )


def _variables(inks: dict[str, Ink], others: dict[str, str]) -> str:
    pairs = [(f"{kind}-{part}", colour) for kind, ink in inks.items() for part, colour in ink._asdict().items()]
    return ";".join(f"--{name}:{colour}" for name, colour in [*pairs, *others.items()])


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
