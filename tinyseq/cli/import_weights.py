"""``tinyseq import``: another library's recurrent weights, with a certificate."""

from __future__ import annotations

from typing import Any

import click

from tinyseq.cli.boundary import debug_option


@click.command("import", short_help="Read another library's recurrent weights.")
@click.argument("file", type=click.Path())
@click.option("--from", "library", required=True, metavar="LIBRARY", help="Whose file it is: torch, keras, flax, ...")
@click.option("--out", "-o", required=True, type=click.Path(file_okay=False), metavar="DIR", help="A new folder.")
@click.option("--prefix", help="The place of the layer in the file, where there are several.")
@click.option("--layer", "layers", multiple=True, metavar="PLACE", help="The places of a stack, lowest first.")
@click.option("--kind", type=click.Choice(["lstm", "gru", "rnn", "esn", "linear", "embedding"]))
@click.option("--reset", type=click.Choice(["before", "after"]), help="Of a GRU, where tensors do not tell.")
@click.option("--nonlinearity", type=click.Choice(["tanh", "relu"]), help="Of a plain layer; by default tanh.")
@click.option("--accept", multiple=True, metavar="DIFFERENCE", help="What you take care of, as a refusal names it.")
@debug_option
def command(
    file: str, library: str, out: str, layers: tuple[str, ...], accept: tuple[str, ...], **options: Any
) -> None:
    """Read the recurrent layer in FILE, say what was compared at what error, and write weights and certificate.

    \b
    Example:
        tinyseq import model.keras --from keras -o imported/
        tinyseq import model.safetensors --from torch --prefix encoder.lstm -o imported/
    In Python the layer is tinyseq.nn.convert.opened("imported/"). A pair of directions is --layer FORWARD+BACKWARD.
    """
    from tinyseq.nn.convert.certificate import certified, save

    places = [tuple(place.split("+", 1)) if "+" in place else place for place in layers]
    told = {name: value for name, value in options.items() if value is not None}
    module, certificate = certified(library, file, layers=places or None, accept=accept, **told)
    folder = save(out, module, certificate)
    click.echo(str(certificate))
    click.echo(f"{module!r}\n-> {folder}")
