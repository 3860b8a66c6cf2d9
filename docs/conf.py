"""Sphinx's settings for the site: `python docs/build.py` builds it."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent / "web"), str(Path(__file__).parent.parent)]

project = "tinyseq"
author = "The tinyseq authors"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "tinyseq_site"]
html_theme = "furo"
html_title = "tinyseq"
html_static_path = ["web/browser"]
html_math_renderer = "mathml"
html_js_files = [(name, {"type": "module"}) for name in ("playground.mjs", "slides.mjs")]
html_copy_source = False
html_show_sourcelink = False
exclude_patterns = ["web/**"]
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
nb_code_prompt_show = "Show an answer"
nb_code_prompt_hide = "Hide the answer"
html_favicon = "web/favicon.svg"

myst_enable_extensions = ["dollarmath", "colon_fence", "attrs_inline", "deflist"]
myst_heading_anchors = 3
# Values in the text are asked of the kernel between cells: what a page says is what it computed.
nb_execution_mode = "inline"
nb_execution_raise_on_error = True
nb_execution_timeout = 120
nb_merge_streams = True
nb_eval_name_regex = r"[^`]+"
