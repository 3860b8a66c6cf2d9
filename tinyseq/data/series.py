"""Series of numbers from CSV files with named columns, and their scaling."""

from __future__ import annotations

import bisect
import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from tinyseq.data import times as clock
from tinyseq.data.delimited import Form, question
from tinyseq.data.numerals import is_missing, is_number, plain
from tinyseq.data.tables import INDEX_NAMES, Table, read_table
from tinyseq.errors import DataError
from tinyseq.registry import Registry

Array = np.ndarray[Any, Any]
#: Names of columns that say when, in small letters.
TIME_NAMES: Final = frozenset(
    {"date", "datetime", "time", "timestamp", "ds", "year", "month", "day", "week", "period", "t", "observation_date"}
)
#: Rows from which on steps of one size are no chance.
_FEW = 8


@dataclass(frozen=True)
class Series:
    """Numbers over time: ``values`` float64 (time, columns), and what each row is called (a year, a date).

    ``observed`` (time, columns) says which values stand in the file; None: all of them do, and none is filled in.
    """

    name: str
    columns: tuple[str, ...]
    values: Array
    times: tuple[str, ...]
    sha256: str = ""
    observed: Array | None = None
    #: What was done to the file's rows, in words.
    note: str = ""
    #: What it is called among the series of its file.
    group: str = ""

    def __len__(self) -> int:
        return len(self.values)

    def known(self) -> Array:
        """Return the values, NaN where none was observed."""
        return self.values if self.observed is None else np.where(self.observed, self.values, np.nan)

    def until(self, stop: int) -> Series:
        """Return the first ``stop`` rows."""
        return self.part(slice(0, stop))

    def part(self, rows: slice) -> Series:
        """Return some rows."""
        observed = None if self.observed is None else self.observed[rows]
        return replace(self, values=self.values[rows], times=self.times[rows], observed=observed)


@dataclass(frozen=True)
class SeriesPlan:
    """How the rows of a table are series.

    Args:
        time: the column that says when; None: rows are numbered from 0.
        more: further columns that say when (a month beside the year, an hour beside the date).
        time_may_lack: whether rows are numbered too where the file has no column ``time``, and are one series where it
            has no column ``group``.
        time_format: how it is written, as ``datetime.strptime`` has it; None: found out.
        group: the column that tells series apart, where several stand in one file.
        wide: a row is a series, a column a step.
        order: "time" puts rows in order of time; "file" leaves them as they stand.
        repeated: of several rows of one time "refuse" all, or take the "first", the "last" or their "mean".
        gaps: where steps are not there, "keep" takes rows as steps, "fill" makes them missing, "refuse" says where.
        missing: "refuse" a missing value, or "carry" the last one on (which looks at nothing that comes later).
    """

    time: str | None = None
    more: tuple[str, ...] = ()
    time_may_lack: bool = False
    time_format: str | None = None
    group: str | None = None
    wide: bool = False
    order: str = "time"
    repeated: str = "refuse"
    gaps: str = "keep"
    missing: str = "refuse"


def read_series(
    path: str | Path,
    columns: Sequence[str] | None = None,
    *,
    time: str | None = None,
    time_may_lack: bool = False,
    missing: str = "refuse",
    form: Form | None = None,
) -> Series:
    """Return the one series of a file: a header with the names of the columns, then a row a time step.

    Args:
        path: the file.
        columns: which columns, in this order; None: all but ``time``.
        time: the column that says when; rows are put in its order. None: rows are numbered from 0.
        time_may_lack: whether rows are numbered too where the file has no column ``time``.
        missing: see ``SeriesPlan``.
        form: how the file is written; what it does not say is found out, or asked.

    Raises:
        DataError: see ``read_many``.
    """
    (only,) = read_many(
        path, columns, plan=SeriesPlan(time=time, time_may_lack=time_may_lack, missing=missing), form=form
    )
    return only


def read_many(
    path: str | Path, columns: Sequence[str] | None = None, *, plan: SeriesPlan, form: Form | None = None
) -> list[Series]:
    """Return the series of a file, in the order in which they begin.

    Raises:
        DataError: the file is not there, a column is unknown, a row is ragged, a value is missing or no number (the
            message names line and column); or it is not certain what a column is, in which order rows stand, or
            whether steps are missing: the message asks.
    """
    table = read_table(path, form=form)
    if plan.time_may_lack:
        plan = replace(
            plan,
            time=plan.time if {plan.time, *plan.more} <= set(table.columns) else None,
            group=plan.group if plan.group in table.columns else None,
        )
    if plan.wide:
        return _wide(table, plan)
    return _Reading(table, columns, plan).series()


class _Reading:
    """A table, and how it becomes series."""

    def __init__(self, table: Table, columns: Sequence[str] | None, plan: SeriesPlan) -> None:
        self.table, self.plan = table, plan
        if len(table) < 2:
            raise DataError(
                "a series without rows", required="a header and at least 2 rows", got=f"{table.name}: {len(table)}"
            )
        for name in (plan.time, *plan.more, plan.group):
            if name is not None:
                table.index(name)
        self.columns = self._chosen() if columns is None else list(columns)
        if columns is not None and plan.time is None and plan.order == "time":
            self._unread(columns)
        self.values = table.numbers(self.columns, missing=True)

    # What columns are.

    def _others(self) -> list[str]:
        taken = (self.plan.time, *self.plan.more, self.plan.group)
        return [name for name in self.table.columns if name not in taken]

    def _ask(self, what: str, required: str, fix: str, where: str = "") -> DataError:
        return question(what, self.table.dialect.shown, required=required, where=where or self.table.name, fix=fix)

    def _chosen(self) -> list[str]:
        """Return the columns that are read where nobody says which."""
        chosen = []
        for name in self._others():
            nameless = name in self.table.dialect.nameless or name.lower().startswith("unnamed:")
            head = plain(self.table.head(name))
            if head is not None and clock.direction(head) == 0 and name.lower() not in TIME_NAMES and not nameless:
                chosen.append(name)  # numbers up and down, as most are
                continue
            fields = self.table.fields(name)
            if nameless and not any(map(str.strip, fields)):
                continue
            values = plain(fields)
            if values is None and not self._numeric(name):
                raise self._no_column_of_numbers(name, fields)
            if values is not None and (nameless or name.lower() in INDEX_NAMES) and (np.diff(values) == 1).all():
                continue  # it numbers the rows
            if self.plan.time is None and values is not None and (says := _says_when(name, values, nameless)):
                rest = [other for other in self._others() if other != name]
                raise self._ask(
                    f"the column {name!r} {says}",
                    "to be told whether it says when: as it stands, it would be read and forecast like others",
                    f"data.time: {name}; if it is a column like others: data.columns: [{', '.join([name, *rest][:6])}]",
                )
            chosen.append(name)
        if not chosen:
            raise self._ask("no column of numbers", "at least one", f"columns: {', '.join(self.table.columns)}")
        return chosen

    def _numeric(self, name: str) -> bool:
        """Return whether a column has numbers, though in another form, or some are missing."""
        try:
            values = self.table.numbers([name], missing=True)
        except DataError:
            fields = [field.strip() for field in self.table.fields(name)]
            # One field that is no number among many is a mistake, and told as such.
            return 2 * sum(is_number(field) for field in fields) >= len(fields)
        return not np.isnan(values).all()

    def _no_column_of_numbers(self, name: str, fields: Sequence[str]) -> DataError:
        rest = ", ".join(other for other in self._others() if other != name)
        if self.plan.time is None and clock.readings(fields[:50]):
            return self._ask(
                f"not a number: the column {name!r} has times",
                "to be told which column says when",
                f"data.time: {name}; or data.columns: [{rest}]",
                self.table.place(0, name),
            )
        several = self.plan.group is None and len(set(fields)) < len(fields)
        return self._ask(
            f"not a number: the column {name!r} has text",
            "columns of numbers",
            (f"data.group: {name} if it tells several series apart; " if several else "")
            + (f"data.columns: [{rest}] if it is not read" if rest else "a file with columns of numbers"),
            self.table.place(0, name),
        )

    def _unread(self, columns: Sequence[str]) -> None:
        """Ask, where a column that nobody reads has times: rows need not stand in their order."""
        for name in self._others():
            if name in columns:
                continue
            fields = self.table.fields(name)
            if clock.is_date(fields[0]) and (found := clock.readings(fields)):
                if any(clock.direction(moments.values) == 1 for moments in found):
                    continue
                raise self._ask(
                    f"rows are not in the order of the column {name!r}",
                    "to be told the order of time",
                    f"data.time: {name}; or data.order: file if time runs down the file",
                )

    # In which order, and of how many series.

    def series(self) -> list[Series]:
        table, plan = self.table, self.plan
        labels = _labels(table, plan)
        if plan.group is None:
            parts = {"": np.arange(len(table))}
        else:
            keys = table.labels(plan.group)
            found: dict[str, list[int]] = {}
            for row, key in enumerate(keys):
                found.setdefault(key, []).append(row)
            parts = {key: np.array(rows) for key, rows in found.items()}
        moments = None if labels is None or plan.order == "file" else self._moments(labels)
        return [self._one(key, rows, labels, moments) for key, rows in parts.items()]

    def _moments(self, labels: Sequence[str]) -> clock.Moments:
        """Return when rows are; asks where that is not certain."""
        table, plan = self.table, self.plan
        assert plan.time is not None
        if "" in labels:
            row = labels.index("")
            raise DataError(
                "a row without its time",
                required="a time in each row",
                got="an empty field",
                where=table.place(row, plan.time),
                fix="fill it in, or leave the row out; or data.order: file, and no time is read",
            )
        found = clock.readings(labels, plan.time_format)
        if not found:
            row = self._unreadable(labels)
            raise self._ask(
                f"a time that cannot be read: {labels[row]!r}" + (f", after {labels[row - 1]!r}" if row else ""),
                "dates or numbers, all of one form",
                'data.time_format, as strptime has it, such as "%d/%m/%Y"; '
                "or data.order: file if time runs down the file"
                + ("; if the line is a remark: take it out" if row == len(labels) - 1 else ""),
                table.place(row, plan.time),
            )
        if not _agree(found):
            # The file is most likely in order: newest last, or first.
            found = [moments for moments in found if self._straight(moments.values)]
            if not found or not _agree(found):
                raise self._ask(
                    f"dates that can be read in two ways: {labels[0]!r}",
                    "to be told whether the day or the month comes first",
                    'data.time_format: "%d/%m/%Y" if the day does, data.time_format: "%m/%d/%Y" if the month does',
                    table.place(0, plan.time),
                )
        # Of readings that give one order, that with the most even steps.
        found.sort(key=lambda moments: float(np.std(np.diff(np.sort(moments.values)))))
        return found[0]

    def _straight(self, values: Array) -> bool:
        if self.plan.group is None:
            return clock.direction(values) != 0
        keys = np.array(self.table.fields(self.plan.group))
        return all(clock.direction(values[keys == key]) != 0 for key in dict.fromkeys(keys.tolist()))

    def _unreadable(self, labels: Sequence[str]) -> int:
        """Return the first row whose time is not of the form of those before it."""
        form = self.plan.time_format
        return bisect.bisect_left(
            range(len(labels) - 1), True, key=lambda row: not clock.readings(labels[: row + 1], form)
        )

    def _one(self, key: str, rows: Array, labels: Sequence[str] | None, moments: clock.Moments | None) -> Series:
        table, plan = self.table, self.plan
        notes = []
        values = self.values[rows] if key else self.values
        if moments is None:
            times = tuple(map(str, range(len(rows)))) if labels is None else _taken(labels, rows)
        else:
            assert labels is not None
            at = moments.values[rows]
            way = clock.direction(at)
            if way == 0:
                self._stacked(at, rows, labels)
            if way != 1:
                order = np.argsort(at, kind="stable")
                notes.append("newest first, turned round" if way == -1 else "put in order of time")
                rows, at, values = rows[order], at[order], values[order]
            if (np.diff(at) == 0).any():
                rows, at, values = self._once(rows, at, values, labels)
                notes.append(f"the {plan.repeated} of rows of one time")
            times = _taken(labels, rows)
            many, gaps = clock.steps_of(clock.Moments(at, moments.how, moments.dates))
            if gaps.any():
                missing, after = round(float((many[gaps] - 1).sum())), times[int(np.argmax(gaps))]
                values, times, rows = self._gaps(many, gaps, values, times, rows, at, moments)
                done = "filled in" if plan.gaps == "fill" else "rows taken as steps (data.gaps: keep)"
                notes.append(f"{missing} steps missing, the first after {after}: {done}")
        if len(rows) < 2:
            raise DataError(
                f"a series without rows: {key!r}" if key else "a series without rows",
                required="at least 2 rows",
                got=f"{table.name}: {len(rows)}",
            )
        values, observed = _filled(values, plan, lambda row, place: self._field(rows, row, place))
        name = f"{Path(table.name).name}: {key}" if key else Path(table.name).name
        return Series(name, tuple(self.columns), values, times, table.sha256, observed, ", ".join(notes), key)

    def _field(self, rows: Array, row: int, place: int) -> tuple[str, str]:
        """Return a field and where it is; a step that was filled in has neither."""
        if rows[row] < 0:
            return "", f"{self.table.name}, a step that is not in the file, column {self.columns[place]!r}"
        return self.table.field(int(rows[row]), self.columns[place]), self.table.place(
            int(rows[row]), self.columns[place]
        )

    def _stacked(self, at: Array, rows: Array, labels: Sequence[str]) -> None:
        """Ask, where rows that go back in time are several series, one under another."""
        if self.plan.group is not None:
            return
        twice = len(np.unique(at)) < len(at)
        for name in self.table.columns:
            if name in (self.plan.time, *self.plan.more):
                continue
            if name in self.columns and not twice:
                continue
            keys = self.table.fields(name)
            kinds = dict.fromkeys(keys)
            if not 2 <= len(kinds) <= len(keys) // 2 or len(set(zip(keys, at.tolist(), strict=True))) < len(keys):
                continue
            mine = np.array(keys)
            if not twice and not all(clock.direction(at[mine == key]) for key in kinds):
                continue
            back = int(np.argmax(np.diff(at) <= 0)) + 1
            raise self._ask(
                "time goes back: several series in one file",
                f"to be told which column tells them apart: after {labels[rows[back - 1]]} comes {labels[rows[back]]}",
                f"data.group: {name}, which is {', '.join(map(repr, list(kinds)[:4]))}"
                + (", ..." if len(kinds) > 4 else ""),
                self.table.place(int(rows[back]), str(self.plan.time)),
            )

    def _once(self, rows: Array, at: Array, values: Array, labels: Sequence[str]) -> tuple[Array, Array, Array]:
        """Return each time once, as ``repeated`` says."""
        plan = self.plan
        if plan.repeated == "refuse":
            row = int(np.argmax(np.diff(at) == 0)) + 1
            raise self._ask(
                f"a time twice: {labels[rows[row]]}",
                "each time once in a series",
                "data.group, the column that tells several series apart; or data.repeated: first, last or mean",
                self.table.place(int(rows[row]), str(plan.time)),
            )
        starts = np.flatnonzero(np.diff(at, prepend=-np.inf) != 0)
        ends = np.append(starts[1:], len(at))
        if plan.repeated == "mean":
            merged = np.full((len(starts), values.shape[1]), np.nan)
            for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
                some = values[start:end]
                known = ~np.isnan(some)
                counts = known.sum(0)
                merged[number] = np.where(counts > 0, np.where(known, some, 0.0).sum(0) / np.maximum(counts, 1), np.nan)
            return rows[starts], at[starts], merged
        taken = starts if plan.repeated == "first" else ends - 1
        return rows[taken], at[taken], values[taken]

    def _gaps(
        self,
        many: Array,
        gaps: Array,
        values: Array,
        times: tuple[str, ...],
        rows: Array,
        at: Array,
        moments: clock.Moments,
    ) -> tuple[Array, tuple[str, ...], Array]:
        """Return the rows with those of missing steps put in, or as they stand."""
        plan = self.plan
        first = int(np.argmax(gaps))
        if plan.gaps == "refuse":
            raise self._ask(
                f"steps are missing: after {times[first]} comes {times[first + 1]}",
                f"a row for every step; {round(float((many[gaps] - 1).sum()))} are not there",
                "data.gaps: fill makes them missing values (and data.missing: carry carries the last one on); "
                "data.gaps: keep takes the rows as steps",
                self.table.place(int(rows[first + 1]), str(plan.time)),
            )
        if plan.gaps == "keep":
            return values, times, rows
        counts = np.maximum(np.round(many).astype(np.int64), 1)
        if counts.sum() > 50 * len(values) + 1000:
            raise DataError(
                "gaps too large to fill", required="a few", got=f"{int(counts.sum()):,} steps", fix="data.gaps: keep"
            )
        places = np.concatenate([[0], np.cumsum(counts)])
        grown = np.full((places[-1] + 1, values.shape[1]), np.nan)
        grown[places] = values
        origin = np.full(len(grown), -1)
        origin[places] = rows
        when = np.interp(np.arange(len(grown)), places, at)
        names = np.full(len(grown), "", object)
        names[places] = times
        for place in np.flatnonzero(origin < 0):
            names[place] = _called(when[place], moments)
        return grown, tuple(names.tolist()), origin


def _taken(labels: Sequence[str], rows: Array) -> tuple[str, ...]:
    straight = len(rows) == len(labels) and bool((np.diff(rows) == 1).all())
    return tuple(labels) if straight else tuple(map(labels.__getitem__, rows.tolist()))


def _agree(found: Sequence[clock.Moments]) -> bool:
    """Return whether all readings put the rows in one order."""
    orders = [np.argsort(moments.values, kind="stable") for moments in found]
    return all((order == orders[0]).all() for order in orders)


def _labels(table: Table, plan: SeriesPlan) -> list[str] | None:
    """Return what each row's time is called: of several columns, all of them."""
    if plan.time is None:
        return None
    first, *more = (list(map(str.strip, table.fields(name))) for name in (plan.time, *plan.more))
    if not more:
        return first
    if plan.more[0].lower() in ("quarter", "qtr", "q"):
        return [f"{year}Q{quarter.upper().removeprefix('Q')}" for year, quarter in zip(first, more[0], strict=True)]
    rows = zip(first, *more, strict=True)
    if all(map(str.isdecimal, (column[0] for column in (first, *more)))):  # year, month, day, hour, minute
        return ["-".join(row[:3]) + (" " + ":".join([*row[3:], "00"][:2]) if len(row) > 3 else "") for row in rows]
    return [" ".join(row) for row in rows]


def _called(value: float, moments: clock.Moments) -> str:
    """Return what a time is called that is not in the file."""
    if not moments.dates:
        return f"{value:g}"
    date = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=round(float(value)))
    return date.isoformat(" ") if date.hour or date.minute else date.date().isoformat()


def _is_plain(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _says_when(name: str, values: Array, nameless: bool) -> str:
    """Return what makes a column of numbers look like one that says when; nothing if it does not."""
    way = clock.direction(values)
    if way == 0 or len(values) < 3:
        # Stacked series: years that begin anew.
        steps = np.diff(values)
        named = name.lower() in TIME_NAMES and len(values) > 2
        return "is called like one that says when" if named and (steps == 1).mean() > 0.5 else ""
    steps = np.diff(values)
    sizes, counts = np.unique(np.round(steps, 9), return_counts=True)
    if nameless or name.lower() in INDEX_NAMES | TIME_NAMES:
        return (
            "is called like one that says when, and only grows" if way == 1 else "only falls, as time does newest first"
        )
    if len(values) >= _FEW and counts.max() > 0.5 * len(steps):
        return f"grows by {sizes[counts.argmax()]:g} with nearly every row"
    whole = (values == np.floor(values)).all()
    if whole and len(values) >= _FEW and clock.readings([f"{int(v)}" for v in values[:50]])[0].dates:
        return "has numbers that are dates"
    epoch = whole and any(low < values.min() and values.max() < 2.2 * low * 10 for low in (1e8, 1e11, 1e14))
    return "has numbers that are times in seconds, and only grows" if epoch and len(values) >= _FEW else ""


def _filled(
    values: Array, plan: SeriesPlan, field: Callable[[int, int], tuple[str, str]]
) -> tuple[Array, Array | None]:
    """Return the values without gaps, and which were observed (None: all)."""
    observed = ~np.isnan(values)
    if observed.all():
        return values, None
    if plan.missing == "refuse":
        row, place = (int(i) for i in np.argwhere(~observed)[0])
        got, where = field(row, place)
        raise DataError(
            "a missing value",
            required="a number",
            got=repr(got),
            where=where,
            fix="fill it in, or data.missing: carry",
        )
    if not observed[0].all():
        place = int(np.argmin(observed[0]))
        got, where = field(0, place)
        raise DataError(
            "a missing value",
            required="a number",
            got=f"{got!r}, and no value before it to carry on",
            where=where,
            fix="leave the first rows out",
        )
    last = np.maximum.accumulate(np.where(observed, np.arange(len(values))[:, None], 0), axis=0)
    return np.take_along_axis(values, last, 0), observed


def _wide(table: Table, plan: SeriesPlan) -> list[Series]:
    """Return a series for each row; values that are missing at its ends are no part of it.

    With a time but no group, rows are stretches of one series (a year, and its months as columns).
    """
    steps = _steps(table, plan)
    values = table.numbers(steps, missing=True)
    if plan.time is not None and plan.group is None:
        labels = _labels(table, plan) or []
        found = clock.readings(labels, plan.time_format)
        order = np.arange(len(table)) if plan.order == "file" or not found else np.argsort(found[0].values)
        names = [f"{labels[row]} {step}" for row in order for step in steps]
        places = [(int(row), step) for row in order for step in steps]
        return [_row(table, plan, "", values[order].reshape(-1), names, places)]
    if plan.group is not None:
        keys = table.texts(plan.group)
        twice = next((key for key in keys if keys.count(key) > 1), None) if len(set(keys)) < len(keys) else None
        if twice is not None:
            raise DataError(
                f"two series of one name: {twice!r}",
                required="each once",
                where=table.place(len(keys) - 1 - keys[::-1].index(twice), plan.group),
                fix="another data.group",
            )
    else:
        keys = [str(row + 1) for row in range(len(table))]
    return [_row(table, plan, key, values[row], steps, [(row, step) for step in steps]) for row, key in enumerate(keys)]


def _steps(table: Table, plan: SeriesPlan) -> list[str]:
    """Return the columns that are steps: those of numbers; those of text before them name the row."""
    steps = [name for name in table.columns if name not in (plan.group, plan.time, *plan.more)]
    while steps:
        fields = table.fields(steps[0])
        nameless = steps[0] in table.dialect.nameless
        if not nameless and any(_is_plain(field) or is_missing(field) for field in fields):
            break
        del steps[0]
    while steps and not any(map(str.strip, table.fields(steps[-1]))):
        del steps[-1]  # separators at the ends of lines
    if len(steps) < 2:
        raise question(
            "no columns that are steps",
            table.dialect.shown,
            required="a row a series, its steps in columns of numbers",
            where=table.name,
            fix="data.layout: long if a row is a step",
        )
    return steps


def _row(
    table: Table, plan: SeriesPlan, key: str, values: Array, names: Sequence[str], places: Sequence[tuple[int, str]]
) -> Series:
    known = np.flatnonzero(~np.isnan(values))
    title = f"{Path(table.name).name}: {key}" if key else Path(table.name).name
    if len(known) < 2:
        raise DataError(
            f"a series without values: {key!r}",
            required="at least 2 values",
            got=str(len(known)),
            where=table.place(places[0][0], places[0][1]),
            fix="leave the row out",
        )
    part = slice(int(known[0]), int(known[-1]) + 1)

    def field(step: int, _: int) -> tuple[str, str]:
        place = places[part.start + step]
        return table.field(*place), table.place(*place)

    filled, observed = _filled(values[part, None], plan, field)
    return Series(title, ("value",), filled, tuple(names[part]), table.sha256, observed, "", key)


#: Name -> (forth, back): what is done to values before they are standardised.
TRANSFORMS: Registry[tuple[Callable[[Array], Array], Callable[[Array], Array]]] = Registry(
    "transform",
    {
        "none": (lambda x: x, lambda z: z),
        "sqrt": (np.sqrt, lambda z: np.maximum(z, 0.0) ** 2),
        "log": (np.log1p, np.expm1),
    },
)


@dataclass(frozen=True)
class Scaler:
    """z = (g(x) - mean) / std a column, g a transform by name; fitted on the training part alone."""

    transform: str
    mean: Array
    std: Array

    @classmethod
    def fit(cls, values: Array, transform: str = "none") -> Scaler:
        """Return the scaler of values (time, columns), NaN left out; a constant column keeps its scale.

        Raises:
            DataError: the transform takes no negative values, and there are some.
        """
        forth = TRANSFORMS[transform][0](_admissible(values, transform))
        some = np.isnan(forth).any()
        mean, std = (np.nanmean(forth, 0), np.nanstd(forth, 0)) if some else (forth.mean(0), forth.std(0))
        return cls(transform, mean, np.where(std > 0.0, std, 1.0))

    def apply(self, values: Array) -> Array:
        """Return z, float64, for values (..., columns)."""
        scaled: Array = (TRANSFORMS[self.transform][0](_admissible(values, self.transform)) - self.mean) / self.std
        return scaled

    def invert(self, z: Array, columns: Sequence[int] | None = None) -> Array:
        """Return x for z (..., columns), or for those columns only."""
        chosen = slice(None) if columns is None else list(columns)
        return TRANSFORMS[self.transform][1](z.astype(np.float64) * self.std[chosen] + self.mean[chosen])


def _admissible(values: Array, transform: str) -> Array:
    if transform != "none" and (values < 0.0).any():
        raise DataError(
            f"the transform {transform} of negative values",
            required="values of at least 0",
            got=f"a least value of {np.nanmin(values):g}",
            fix="data.transform: none",
        )
    return values
