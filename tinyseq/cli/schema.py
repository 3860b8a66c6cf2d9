"""``tinyseq schema``: the JSON Schema of configs."""

from __future__ import annotations

import json
import sys
from contextlib import suppress

import click

from tinyseq.cli.boundary import debug_option
from tinyseq.cli.output import echo, echo_json


@click.command("schema", short_help="Print the JSON Schema of configs, for editors.")
@click.option("--where", is_flag=True, help="Only say where it lies as a file.")
@debug_option
def command(where: bool) -> None:
    """Print the JSON Schema (draft 7) of configs: every key, its type, its bounds, its default and its meaning.

    \b
    Examples:
        tinyseq schema > tinyseq.schema.json
        tinyseq schema --where
    Editors with the YAML language server (VS Code, Neovim, Emacs, ...) complete and check keys of a file that names it:
        # yaml-language-server: $schema=tinyseq.schema.json
    """
    from tinyseq.train.config.json_schema import SCHEMA_FILE, schema

    if where:
        echo(SCHEMA_FILE)
    else:
        made, kept = schema(), {}
        with suppress(ValueError, OSError):  # it may be what the output goes to, and empty by now
            kept = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
        # The same may be written in several ways (1 and 1.0). Docstrings are what sections are described by: without
        # them (-OO) the file still has them.
        echo_json(kept if kept and (made == kept or sys.flags.optimize > 1) else made, indent=1)
