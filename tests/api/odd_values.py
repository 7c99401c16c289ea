"""Values that almost fit a shape of the service models, and values that fit nothing."""

from typing import Any

from hypothesis import strategies as st

from earwitness.wire.service_models import Shape

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["", " ", "\0", "arn:", "a/.."])
)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=8
)


def loosely(shape: Shape) -> st.SearchStrategy[Any]:
    """Mostly of the right type, rarely in range."""
    if shape.type == "structure":
        required = {name: loosely(shape.members[name].shape) for name in shape.required}
        optional = {name: loosely(member.shape) for name, member in shape.members.items() if name not in required}
        return st.fixed_dictionaries(required, optional=optional)
    if shape.type == "list":
        return st.lists(loosely(shape.inner["member"]), max_size=3)
    if shape.type == "map":
        return st.dictionaries(st.text(max_size=5), loosely(shape.inner["value"]), max_size=3)
    if shape.choices:
        return st.sampled_from(shape.choices) | scalars
    if shape.type in ("integer", "long"):
        return st.integers(0, 100_000) | scalars
    if shape.type == "timestamp":
        return st.floats() | st.integers() | st.just("0001-01-01T00:00:00+14:00") | scalars
    if shape.type == "boolean":
        return st.booleans() | scalars
    return st.text() | anything
