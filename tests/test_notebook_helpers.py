"""relubook.notebook: what a cell's helpers do in the book and elsewhere."""

import fractions
import sys

import numpy as np
import pytest

from relubook.notebook import glue, in_build


@pytest.fixture
def glued(monkeypatch):
    """What reaches myst_nb.glue in the book's build."""
    import myst_nb

    calls = []
    monkeypatch.setenv("RELUBOOK_BUILD", "1")
    monkeypatch.setattr(myst_nb, "glue", lambda *args, **kw: calls.append((args, kw)))
    return calls


@pytest.mark.parametrize("value, expected", [("1", True), ("", False), (None, False)])
def test_the_build_is_known_by_its_variable(monkeypatch, value, expected):
    if value is None:
        monkeypatch.delenv("RELUBOOK_BUILD", raising=False)
    else:
        monkeypatch.setenv("RELUBOOK_BUILD", value)
    assert in_build() is expected


def test_glue_in_the_build_keeps_without_display(glued):
    assert glue("half", 0.5) is None
    assert glued == [(("half", 0.5), {"display": False})]


@pytest.mark.parametrize(
    "value, kept",
    [
        (np.float64(0.5), 0.5),
        (np.float16(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.mean([1, 2]), 1.5),
    ],
)
def test_glue_keeps_numpy_scalars_as_python_numbers(glued, value, kept):
    glue("value", value)
    ((_, came), _) = glued[0]
    assert came == kept and type(came) is type(kept)
    assert "np." not in repr(came)


def test_glue_keeps_other_values_as_they_are(glued):
    value = fractions.Fraction(1, 2)
    glue("value", value)
    assert glued[0][0][1] is value


def test_glue_of_a_reader_is_silent_and_needs_no_sphinx(monkeypatch, capsys):
    monkeypatch.delenv("RELUBOOK_BUILD", raising=False)
    monkeypatch.setitem(sys.modules, "myst_nb", None)  # importing it would raise
    assert glue("half", 0.5) is None
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("name", [3, None, b"half", ["half"]])
def test_glue_wants_a_string_as_name(name):
    with pytest.raises(TypeError, match=r"name=.* is a \w+, not a string"):
        glue(name, 0.5)


@pytest.mark.parametrize("name", ["", "  ", "half:.2f", "`half`", "ha`lf"])
def test_glue_wants_a_name_that_text_can_refer_to(name):
    with pytest.raises(ValueError, match="must not be empty or contain ':' or '`'"):
        glue(name, 0.5)
