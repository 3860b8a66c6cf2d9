"""Tables of names: what is in them, what is said of what is not, and things that are imported when asked for."""

from __future__ import annotations

import sys
from fractions import Fraction
from types import ModuleType

import pytest

from tinyseq.errors import ConfigError, DataError
from tinyseq.registry import Registry, at_address, unknown


def table() -> Registry[type]:
    return Registry("number", {"whole": int, "real": float})


def test_it_is_a_table_of_names() -> None:
    numbers = table()
    numbers.register("complex", complex)
    numbers["whole"] = bool
    assert numbers.names() == ("whole", "real", "complex")
    assert numbers.find("whole") is bool
    assert dict(numbers.items()) == {"whole": bool, "real": float, "complex": complex}


def test_an_unknown_name_is_refused_with_the_closest() -> None:
    with pytest.raises(DataError) as caught:
        table().find("rael", "Counter")
    assert (caught.value.what, caught.value.fix) == ("Counter: unknown number 'rael'", "did you mean 'real'?")
    with pytest.raises(ConfigError, match=r"unknown number 'x'[\s\S]*one of: whole"):
        Registry("number", {"whole": int}, ConfigError).find("x")
    with pytest.raises(KeyError):
        table()["rael"]


def test_a_line_about_a_name() -> None:
    assert unknown("number", "rael", table()) == "unknown number 'rael'; did you mean 'real'? (known: real, whole)"
    assert unknown("number", "x", table()) == "unknown number 'x'; one of: real, whole"


def test_an_address_is_imported_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers: Registry[type] = table()
    numbers.register("ratio", "module_of_the_test:Ratio")
    assert numbers.names() == ("whole", "real", "ratio")
    with pytest.raises(ModuleNotFoundError):
        numbers.find("ratio")  # until now nobody has looked for it
    module = ModuleType("module_of_the_test")
    vars(module)["Ratio"] = Fraction
    monkeypatch.setitem(sys.modules, module.__name__, module)
    assert numbers.get("ratio") is Fraction
    assert list(numbers.values()) == [int, float, Fraction]
    monkeypatch.delitem(sys.modules, module.__name__)
    assert numbers["ratio"] is Fraction  # asked once, known
    assert numbers.get("other") is None


def test_things_by_address() -> None:
    assert at_address("fractions:Fraction") is Fraction
    with pytest.raises(AttributeError):
        at_address("fractions:Fracture")
