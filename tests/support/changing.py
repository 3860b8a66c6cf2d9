"""What readers of JSON are tried on: any value, and the facts of a checkpoint with some part of them changed."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st


def json_values(allow_nan: bool = True) -> st.SearchStrategy[Any]:
    """Return the values that JSON can hold, small ones; without NaN they can be compared."""
    return st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=allow_nan) | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=8,
    )


@st.composite
def changed(draw: st.DrawFn, facts: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of facts in which one part, small or large, is any other value."""
    facts = json.loads(json.dumps(facts))
    place = facts
    while True:
        key = draw(st.sampled_from(sorted(place)))
        if not isinstance(place[key], dict) or not place[key] or draw(st.booleans()):
            place[key] = draw(json_values())
            return facts
        place = place[key]
