"""What crosses between grader and sandbox, and what does not."""

import io
import json
import math
from fractions import Fraction

import numpy as np
import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st

from relubook.grading import wire


def there_and_back(value, **options):
    block = bytearray()
    data = wire.encode(value, block)
    buffer = bytearray(wire.pack({"value": data}, bytes(block)))
    message, block = wire.unpack(buffer)
    assert not buffer
    return wire.decode(message["value"], block, **options)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**60), 10**60)
    | st.floats(allow_nan=False)
    | st.complex_numbers(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.fractions(),
    lambda inner: st.lists(inner, max_size=4)
    | st.tuples(inner, inner)
    | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=20,
)


@given(VALUES)
def test_plain_values_come_back_with_their_types(value):
    found = there_and_back(value)
    assert found == value
    assert type(found) is type(value)


def test_a_set_and_special_floats():
    assert there_and_back({1, 2.5, "x"}) == {1, 2.5, "x"}
    assert there_and_back(math.inf) == math.inf
    assert math.isnan(there_and_back(math.nan))
    assert math.copysign(1, there_and_back(-0.0)) == -1
    assert there_and_back(Fraction(-1, 3)) == Fraction(-1, 3)
    assert there_and_back([...]) == [...]


@pytest.mark.parametrize("dtype", wire.DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 4), (2, 3)])
def test_arrays_come_back_bit_by_bit(dtype, shape):
    array = np.arange(math.prod(shape)).reshape(shape).astype(dtype)
    found = there_and_back([array, 1, array])
    for part in (found[0], found[2]):
        assert part.dtype == array.dtype
        assert part.shape == shape
        assert part.tobytes() == array.tobytes()
        assert part.flags.writeable
    scalar = there_and_back(np.dtype(dtype).type(1))
    assert type(scalar) is np.dtype(dtype).type


def test_arrays_of_any_layout_cross():
    array = np.arange(12.0).reshape(3, 4)
    for other in (array.T, array[::2, ::-1], array.astype(">f8")):
        found = there_and_back(other)
        np.testing.assert_array_equal(found, other)
        assert found.dtype == np.float64


def test_tensors_cross_detached():
    torch = pytest.importorskip("torch")
    for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.bool):
        tensor = torch.tensor([[0, 1, 2]], dtype=dtype)
        found = there_and_back(tensor)
        assert found.dtype == dtype
        assert torch.equal(found, tensor)
    leaf = torch.ones(2, requires_grad=True)
    assert not there_and_back(leaf * 2).requires_grad


def test_expressions_cross_as_text():
    z = sp.Symbol("z", real=True)
    block = bytearray()
    data = wire.encode(sp.Max(0, z), block)
    assert data["t"] == "expression"
    assert type(data["v"]) is str
    with pytest.raises(wire.Refused):
        wire.decode(data, b"")  # nobody here to read it
    assert wire.decode(data, b"", parse=lambda text: text) == data["v"]


def test_what_cannot_cross_is_refused_or_gets_a_handle():
    for value in (object(), len, np.array([object()]), np.array(["x"]), b"bytes"):
        with pytest.raises(wire.Refused):
            wire.encode(value, bytearray())
        assert wire.encode([value], bytearray(), lambda v: "here") == ["here"]
    nested = []
    for _ in range(wire.MAX_DEPTH + 2):
        nested = [nested]
    with pytest.raises(wire.Refused, match="nested"):
        wire.encode(nested, bytearray())
    with pytest.raises(wire.Refused, match="digits"):
        wire.encode(10 ** (2 * wire.MAX_DIGITS), bytearray())
    with pytest.raises(wire.Refused, match="set"):
        wire.encode(set(range(2000)), bytearray())


ARRAY = {"t": "array", "dtype": "float64", "shape": [2]}
HOSTILE = [
    {"t": "pickle", "v": "gASV"},
    {"t": ["array"], "v": 1},
    {"v": 1},
    {"t": "int", "v": "1" * 5000},
    {"t": "int", "v": None},
    {"t": "float", "v": "1_0 or so"},
    {"t": "complex", "v": [1, 2, 3]},
    {"t": "complex", "v": [10**400, 0]},
    {"t": "fraction", "v": [1, 0]},
    {"t": "fraction", "v": [math.nan, 1]},
    {"t": "dict", "v": [[[1], 2]]},
    {"t": "dict", "v": [1]},
    {"t": "set", "v": [[]]},
    {"t": "set", "v": list(range(2000))},
    {"t": "tuple", "v": None},
    {"t": "handle", "v": 1},
    {**ARRAY, "shape": [3]},
    {**ARRAY, "shape": [-1]},
    {**ARRAY, "shape": [2**62, 2**62, 0]},
    {**ARRAY, "shape": [1] * 65},
    {**ARRAY, "shape": [True]},
    {**ARRAY, "shape": "2"},
    [ARRAY, ARRAY],  # the bytes of one
    {**ARRAY, "dtype": "object"},
    {**ARRAY, "dtype": "O"},
    {**ARRAY, "dtype": ["float64"]},
    {**ARRAY, "dtype": "bfloat16"},
    {"t": "array"},
]


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_malformed_values_are_refused(number):
    with pytest.raises(wire.Refused):
        wire.decode(HOSTILE[number], io.BytesIO(bytes(16)))
    with pytest.raises(wire.Refused):
        wire.decode([[HOSTILE[number]]], io.BytesIO(bytes(16)))


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: (
    st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["t", "v", "dtype", "shape"]), inner)
    | st.fixed_dictionaries(
        {"t": st.sampled_from([*wire._SIMPLE, "array", "scalar", "expression"]), "v": inner}
    )
), max_leaves=12))  # fmt: skip
def test_any_json_is_decoded_or_refused(data):
    try:
        wire.decode(data, io.BytesIO(bytes(64)))
    except wire.Refused:
        pass


def test_frames_arrive_in_pieces_and_in_a_row():
    frames = wire.pack({"id": 1}) + wire.pack({"id": 2}, b"abc")
    buffer, found = bytearray(), []
    for byte in frames:
        buffer.append(byte)
        while (frame := wire.unpack(buffer)) is not None:
            found.append(frame)
    found = [(message, block.read()) for message, block in found]
    assert found == [({"id": 1}, b""), ({"id": 2}, b"abc")]


def test_bad_frames_are_refused():
    head = wire.HEADER
    with pytest.raises(wire.Refused, match="large"):
        wire.unpack(bytearray(head.pack(wire.MAX_JSON + 1, 0)))
    with pytest.raises(wire.Refused, match="large"):
        wire.unpack(bytearray(head.pack(2, wire.MAX_BLOCK + 1)))
    for text in (b"{", b"[1]", b"\xff", b"1" * 5000, b"[" * 100_000 + b"]" * 100_000):
        with pytest.raises(wire.Refused):
            wire.unpack(bytearray(head.pack(len(text), 0) + text))
    with pytest.raises(wire.Refused, match="large"):
        wire.pack({"v": "x" * (wire.MAX_JSON + 1)})
    with pytest.raises(wire.Refused, match="large"):
        wire.encode(np.zeros(wire.MAX_BLOCK // 8 + 1), bytearray())


def test_lone_surrogates_do_not_come_through():
    message, _ = wire.unpack(bytearray(wire.pack({"v": "a\ud800b"})))
    found = wire.decode(message["v"], b"")
    found.encode()
    assert found == "a?b"
    assert json.loads(json.dumps(found)) == found
