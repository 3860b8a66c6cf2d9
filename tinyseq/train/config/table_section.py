"""What a config says of a table: how it is written. What is not said is found out, or asked."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from tinyseq.data.delimited import SEPARATORS, Form
from tinyseq.train.config.section import Section
from tinyseq.train.config.source import Problem


class TableSection(Section):
    """How a table is written."""

    separator: str | None = Field(
        None, min_length=1, description='What stands between fields: ",", ";", tab, bar, space; null: found out.'
    )
    header: bool | None = Field(
        None, description='Whether a first line names the columns (else they are "1", "2", ...); null: found out.'
    )
    names: list[str] | None = Field(None, min_length=1, description="The columns' names, in place of the file's.")
    skip: int = Field(0, ge=0, description="Lines before the header, or before the first row.")
    quotes: bool | None = Field(None, description="Whether fields may be quoted; null: they may, but not between tabs.")
    comment: str | None = Field(None, min_length=1, description="What lines begin with that are no rows.")
    decimal: Literal[".", ","] | None = Field(None, description="The decimal mark; null: found out.")
    missing_marks: list[str | int | float] | None = Field(
        None, description="What marks a missing value, besides an empty field, NA, ., ? and their like."
    )
    encoding: str | None = Field(None, description="How letters are stored, such as cp1252; null: UTF-8.")

    def contradictions(self) -> Iterator[Problem]:
        separator = None if self.separator is None else SEPARATORS.get(self.separator, self.separator)
        if separator is not None and len(separator) > 1:
            words = ", ".join(SEPARATORS)
            yield Problem(("separator",), f"required one character, or one of: {words}; got {self.separator!r}")
        elif separator in ('"', "\n", "\r"):
            yield Problem(("separator",), f"{separator!r} separates no fields")
        if separator == "," and self.decimal == ",":
            yield Problem(("decimal",), "the comma separates fields already", involves=(("separator",),))
        if self.encoding is not None:
            try:
                text = codecs.lookup(self.encoding)._is_text_encoding
            except (LookupError, ValueError):
                text = False
            if not text:
                yield Problem(("encoding",), f"unknown encoding {self.encoding!r}; such as utf-8, cp1252, latin-1")
        names = self.names or []
        for number, name in enumerate(names):
            if name in names[:number]:
                yield Problem(("names", number), f"{name!r} twice")

    def form(self) -> Form:
        """Return it as reading takes it."""
        marks = self.missing_marks
        return Form(
            separator=self.separator,
            header=self.header,
            names=None if self.names is None else tuple(self.names),
            skip=self.skip,
            quotes=self.quotes,
            comment=self.comment,
            decimal=self.decimal,
            missing=None if marks is None else tuple(m if isinstance(m, str) else f"{m:.17g}" for m in marks),
            encoding=self.encoding,
        )
