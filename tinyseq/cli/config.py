"""``tinyseq config``: a config with all of its defaults."""

from __future__ import annotations

from typing import Any

import click

from tinyseq.cli.boundary import debug_option
from tinyseq.cli.options import set_option
from tinyseq.cli.output import echo


@click.command("config", short_help="Print a config with every default resolved.")
@click.argument("config", type=click.Path())
@set_option
@click.option("--comments", is_flag=True, help="Say beside each setting what it means.")
@debug_option
def command(config: str, settings: list[Any], comments: bool) -> None:
    """Print CONFIG as it is understood: every setting, defaults included, as YAML that is a config itself.

    \b
    Examples:
        tinyseq config examples/lstm.yaml
        tinyseq config examples/lstm.yaml --set cell=gru --comments > gru.yaml
    Paths are written out from the root, so that the result means the same wherever it lies.
    """
    from tinyseq.train.config import yaml
    from tinyseq.train.config.run_config import load_config

    checked = load_config(config, settings)
    if comments:
        from tinyseq.train.config.templates import commented

        echo(commented(checked), nl=False)
    else:
        echo(yaml.write(checked.model_dump(mode="json")), nl=False)
