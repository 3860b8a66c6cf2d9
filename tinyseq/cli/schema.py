"""``tinyseq schema``: the JSON Schema of configs."""

from __future__ import annotations

import click

from tinyseq.cli.boundary import debug_option
from tinyseq.cli.output import echo


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
    from tinyseq.train.config.json_schema import SCHEMA_FILE

    echo(SCHEMA_FILE if where else SCHEMA_FILE.read_text(encoding="utf-8").rstrip())
