"""Log lines by the compiled part: as Python makes them, or left alone."""

from collections.abc import Mapping

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contactservice.v1 import contact_service_pb2
from service.native import compiled
from service.ops.lines import FIELDS, CompiledLayout, Layout, Line, LineFormatter, as_json, console
from service.rpc.call import Call, Method
from tests.domain.strategies import bounded

pytestmark = pytest.mark.skipif(not compiled, reason="the compiled part is not built")

LAYOUTS: Mapping[Layout, CompiledLayout] = (
    {console: compiled.console_line, as_json: compiled.json_line} if compiled else {}
)
each_layout = pytest.mark.parametrize("layout", [console, as_json])

texts = st.text(
    st.characters(codec="ascii") | st.sampled_from('"\\\b\f\n\r\t\0\x1f\x7f\x85\u2028ß\U0001f600\ud800')
)
names = st.sampled_from(sorted(FIELDS)) | st.sampled_from(("email", "event", "", "ä")) | texts
facts = st.dictionaries(names, st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts)
lines = st.builds(
    Line,
    st.floats(0, 4e9) | st.sampled_from((0.0, 1.9999999, 1e12, -1.0, float("nan"))),
    texts,
    facts,
    st.sampled_from(("INFO", "WARNING", "CRITICAL", "")),
    st.none() | texts,
)


def in_python(layout: Layout, pid: int | None, line: Line) -> str:
    formatter = LineFormatter(layout, pid)
    formatter._compiled = None
    return formatter.text(line)


@each_layout
@bounded
@given(lines, st.none() | st.integers(0, 2**22))
@example(Line(1.5, "call", {"pid": 7, "code": None, "milliseconds": 0.1}), 8)
@example(Line(0.9999, "a", {}, "INFO", "trace"), None)
def test_a_line_is_made_as_in_python_or_not_at_all(layout: Layout, line: Line, pid: int | None) -> None:
    """Whatever its facts are, and whoever named them."""
    made = LAYOUTS[layout](line, FIELDS, pid)
    assert made is None or made == in_python(layout, pid, line)


@each_layout
def test_the_lines_of_calls_are_made_so(layout: Layout) -> None:
    """They are nearly all lines there are."""
    methods = contact_service_pb2.DESCRIPTOR.services_by_name["ContactService"].methods
    for method in map(Method, methods):
        call = Call(method)
        call.account, call.principal = "acme", "3f0c"
        for line in (call._line(), call.audit_start(), call.audit_end()):
            assert LAYOUTS[layout](line, FIELDS, 7) == in_python(layout, 7, line)


@each_layout
def test_what_is_no_line_is_left_alone(layout: Layout) -> None:
    """Parts of other kinds, and numbers that are none of C's."""
    good = Line(1.0, "call", {})
    wrong = [
        good._replace(moment=1),
        good._replace(event=b""),
        good._replace(facts={"count": 2**70}),
        (1.0,),
        None,
    ]
    assert [LAYOUTS[layout](line, FIELDS, None) for line in wrong] == [None] * len(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        LAYOUTS[layout](good, None, None)  # type: ignore[arg-type]
