"""The Sphinx extension of the site: formulas as MathML, links into the code, and what the playground loads.

Everything a page needs is in the built folder: no page asks another host for anything, until a reader presses "Run" and
the page fetches Pyodide from where `playground_pyodide` says.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from browser.harness import mathml
from browser_wheels import ROOT, browser_wheels
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import tinyseq

HERE = Path(__file__).resolve().parent
#: The pinned Pyodide (314.0.8) without packages, compressed as a host sends it; a page counts all when it has loaded.
PYODIDE_SIZE = "6.3 MB, and NumPy"


def _visit_inline(translator: Any, node: nodes.math) -> None:
    translator.body.append(mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def _visit_block(translator: Any, node: nodes.math_block) -> None:
    for part in node.astext().split("\n\n"):
        translator.body.append(mathml(part, "block"))
    raise nodes.SkipNode


def playground(app: Sphinx, error: Exception | None) -> None:
    """Write what the pages' scripts load: the packages, the runner, and where Pyodide is."""
    if error or app.builder.format != "html":
        return
    static = Path(app.outdir) / "_static"
    wheels = browser_wheels(static)
    address = app.config.playground_pyodide
    settings = {
        "pyodide": address,
        "host": urlsplit(address).netloc or "this site",
        "size": PYODIDE_SIZE,
        "wheels": [path.name for path in wheels],
    }
    (static / "playground.json").write_text(json.dumps(settings, indent=1), encoding="utf-8")
    worker = (HERE / "browser" / "sw.js").read_text(encoding="utf-8")
    (Path(app.outdir) / "sw.js").write_text(worker.replace("@version@", tinyseq.__version__), encoding="utf-8")


#: What Sphinx and its theme leave out: the level of the navigation's headings, and a way into code by the keyboard.
ACCESSIBLE = (
    ('<p class="caption" role="heading">', '<p class="caption" role="heading" aria-level="2">'),
    ("<pre>", '<pre tabindex="0">'),
)


def accessible(app: Sphinx, error: Exception | None) -> None:
    """Complete the markup of each page for who reads it by ear or by keyboard."""
    for page in () if error else Path(app.outdir).rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        for lacking, whole in ACCESSIBLE:
            text = text.replace(lacking, whole)
        page.write_text(text, encoding="utf-8")


def link_sources(app: Sphinx, doctree: nodes.document) -> None:
    """Turn links from a page to a file of the repository into links to where the code is, or into plain text."""
    page = Path(app.env.doc2path(app.env.docname)).parent
    for link in list(doctree.findall(lambda n: isinstance(n, nodes.Element) and ("reftarget" in n or "refuri" in n))):
        target = str(link.get("reftarget") or link.get("refuri"))
        path, _, place = target.partition("#")
        if not path or "://" in path:
            continue
        # A page is named without its suffix; what a page includes of the README is told from the top.
        places = [(folder / name).resolve() for folder in (page, ROOT) for name in (path, f"{path}.md")]
        file = next((place for place in places if place.exists()), None)
        if file is None or (file.suffix == ".md" and file.is_relative_to(app.srcdir)):
            continue
        if file.is_relative_to(Path(app.srcdir) / "gallery"):
            address = app.builder.get_relative_uri(app.env.docname, "gallery")
            link.replace_self(nodes.reference("", "", *link.children, refuri=address))
            continue
        inside = file.relative_to(ROOT).as_posix()
        if app.config.source_url:
            address = f"{app.config.source_url.rstrip('/')}/{inside}" + (f"#{place}" if place else "")
            link.replace_self(nodes.reference("", "", *link.children, refuri=address))
        else:
            link.replace_self(nodes.inline("", "", *link.children, classes=["source"]))


class Api(SphinxDirective):
    """The public names of a module, each with its docstring, in alphabetical order."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return a section's worth of nodes."""
        name = self.arguments[0]
        module = importlib.import_module(name)
        lines = []
        for public in sorted(getattr(module, "__all__", dir(module))):
            value = getattr(module, public)
            if public.startswith("_") or inspect.ismodule(value) or not getattr(value, "__doc__", None):
                continue
            kind = "class" if inspect.isclass(value) else "function" if callable(value) else "data"
            lines += [f".. auto{kind}:: {name}.{public}"]
            lines += ["   :members:", ""] if kind == "class" else [""]
        return self.parse_text_to_nodes("```{eval-rst}\n" + "\n".join(lines) + "\n```\n")


class Starters(SphinxDirective):
    """What `tinyseq init` writes, a section a kind of task."""

    def run(self) -> list[nodes.Node]:
        """Return a heading, a line and the config of each kind."""
        from tinyseq.train.config.templates import starter, starters

        sections = [f"## {kind}\n\n{one.about}\n\n```yaml\n{starter(kind)}```\n" for kind, one in starters().items()]
        return self.parse_text_to_nodes("\n".join(sections), allow_section_headings=True)


class Pictures(SphinxDirective):
    """The SVG pictures of a folder beside the page, each with its name."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return a picture and a caption a file."""
        folder = Path(self.env.doc2path(self.env.docname)).parent / self.arguments[0]
        self.env.note_dependency(str(folder))
        texts = [
            f"## {file.stem}\n\n![{file.stem}]({self.arguments[0]}/{file.name})\n"
            for file in sorted(folder.glob("*.svg"))
        ]
        return self.parse_text_to_nodes("\n".join(texts), allow_section_headings=True)


#: In plain words of a docstring these have no meaning of their own; Sphinx would see markup.
MARKUP = re.compile(r"(``.+?``)|([|*])|(?<=\w)(_)(?!\w)|(`)")


def plain(app: Sphinx, what: str, name: str, value: object, options: object, lines: list[str]) -> None:
    """Take a docstring as it reads: formulas and names are no markup."""

    def escaped(match: re.Match[str]) -> str:
        return match[1] or "\\" + match[0]

    for place, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            lines[place] = MARKUP.sub(escaped, line)


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx of the parts."""
    app.add_html_math_renderer("mathml", (_visit_inline, None), (_visit_block, None))
    # A distribution of one version, so that a page computes next year what it computes today.
    app.add_config_value("playground_pyodide", "https://cdn.jsdelivr.net/pyodide/v314.0.8/full/", "html", str)
    app.add_config_value("source_url", "", "env", str)
    app.add_directive("api", Api)
    app.add_directive("pictures", Pictures)
    app.add_directive("starters", Starters)
    # Before napoleon, which reads sections and writes markup.
    app.connect("autodoc-process-docstring", plain, priority=100)
    # Before Sphinx takes what a page links to for downloads.
    app.connect("doctree-read", link_sources, priority=100)
    app.connect("build-finished", playground)
    app.connect("build-finished", accessible)
    app.add_css_file("playground.css")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
