"""What crosses between the trusted grader and the sandbox: JSON and raw array bytes.

Both sides load this file, inside the sandbox without the rest of `relubook`. Nothing is
unpickled or evaluated. A frame is two lengths, a JSON text and a block of bytes:

    >>> pack({"value": 1.5})
    b'\\x00\\x00\\x00\\x0e\\x00\\x00\\x00\\x00{"value": 1.5}'

A value that JSON does not have is an object with a tag `t`. Arrays are a dtype from
`DTYPES` and a shape; their bytes follow each other in the block, in the order of the
values, so nothing decoded is larger than what came. Any other object stays where it is
and is replaced by a handle, where the caller allows that.
"""

import functools
import importlib.util
import io
import json
import math
import os
import struct
import sys
from fractions import Fraction

MAX_JSON = 4 << 20  # bytes
MAX_BLOCK = 64 << 20  # bytes
MAX_DEPTH = 20
MAX_SET = 1000  # a set of colliding hashes takes quadratic time
MAX_DIGITS = 4000

HEADER = struct.Struct(">II")
DTYPES = (
    "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 "
    "float16 float32 float64 complex64 complex128"
).split()


class Refused(Exception):
    """The value or frame is not one that may cross."""


def pack(message, block=b""):
    """The bytes of one frame. Raises `Refused` where it would be too large."""
    text = json.dumps(message, allow_nan=False).encode()
    if len(text) > MAX_JSON or len(block) > MAX_BLOCK:
        raise Refused("a value is too large to cross")
    return HEADER.pack(len(text), len(block)) + text + block


def unpack(buffer):
    """The first frame of `buffer` (a bytearray), which loses it: (message, block).

    The block is a file to read from.
    None while the frame is incomplete; `Refused` where it cannot become a good one.
    """
    if len(buffer) < HEADER.size:
        return None
    text, block = HEADER.unpack_from(buffer)
    if text > MAX_JSON or block > MAX_BLOCK:
        raise Refused("a frame is too large")
    end = HEADER.size + text + block
    if len(buffer) < end:
        return None
    found = bytes(buffer[HEADER.size : HEADER.size + text])
    rest = bytes(buffer[HEADER.size + text : end])
    del buffer[:end]
    try:
        message = json.loads(found)
    except (ValueError, RecursionError) as error:
        raise Refused("a frame is not JSON") from error
    if type(message) is not dict:
        raise Refused("a frame is not an object")
    return message, io.BytesIO(rest)


def encode(value, block, handle=None, depth=0):
    """`value` as JSON can hold it; the bytes of arrays are appended to `block`.

    `handle(value)` gives the JSON of what cannot cross itself; without it such a value
    is `Refused`.
    """
    if depth > MAX_DEPTH:
        raise Refused("a value is nested too deeply")

    def inner(part):
        return encode(part, block, handle, depth + 1)

    kind = type(value)
    if value is None or kind in (bool, str):
        return value
    if kind is int:
        return value if abs(value) < 2**53 else {"t": "int", "v": _digits(value)}
    if kind is float:
        return value if math.isfinite(value) else {"t": "float", "v": repr(value)}
    if kind is complex:
        return {"t": "complex", "v": [inner(value.real), inner(value.imag)]}
    if value is ...:
        return {"t": "ellipsis", "v": None}
    if kind is Fraction:
        return {"t": "fraction", "v": [inner(value.numerator), inner(value.denominator)]}
    array = _array(value)
    if array is not None:
        return _encode_array(*array, block)
    if isinstance(value, list):
        return [inner(part) for part in list.__iter__(value)]
    if isinstance(value, tuple):
        return {"t": "tuple", "v": [inner(part) for part in tuple.__iter__(value)]}
    if isinstance(value, (set, frozenset)):
        if len(value) > MAX_SET:
            raise Refused(f"a set of more than {MAX_SET} elements")
        return {"t": "set", "v": [inner(part) for part in value]}
    if isinstance(value, dict):
        pairs = [[inner(key), inner(part)] for key, part in dict.items(value)]
        return {"t": "dict", "v": pairs}
    text = _expression(value)
    if text is not None:
        return {"t": "expression", "v": text}
    if handle is None:
        raise Refused(f"a value of type {kind.__name__} cannot cross")
    return handle(value)


def decode(data, block, handle=None, parse=None, depth=0):
    """The value that `encode` wrote. Raises `Refused`, whatever `data` and `block` are.

    `block` is a file whose bytes are taken from the front; so what was encoded first has
    to be decoded first.
    `handle(data)` gives the object for a handle and `parse(text)` the SymPy expression
    for its text; without them these are refused.
    """
    if depth > MAX_DEPTH:
        raise Refused("a value is nested too deeply")

    def inner(part):
        return decode(part, block, handle, parse, depth + 1)

    if type(data) is str:
        return data.encode("utf-8", "replace").decode()  # no lone surrogates
    if data is None or type(data) in (bool, int, float):
        return data
    if type(data) is list:
        return [inner(part) for part in data]
    if type(data) is not dict:
        raise Refused("not a value")
    tag, value = data.get("t"), data.get("v")
    try:
        if tag == "handle" and handle is not None:
            return handle(data)
        if tag == "expression" and parse is not None and type(value) is str:
            return parse(value)
        if tag in ("array", "scalar", "tensor"):
            return _decode_array(tag, data, block)
        if tag in _SIMPLE:
            return _SIMPLE[tag](value, inner)
    except Refused:
        raise
    except (ValueError, TypeError, KeyError, OverflowError, ZeroDivisionError) as error:
        raise Refused(f"a malformed {tag}") from error
    raise Refused("an unknown tag")


def _integer(value):
    if type(value) is not str or len(value) > MAX_DIGITS:
        raise Refused("not an integer, or one of thousands of digits")
    return int(value)


def _set(value, inner):
    if len(value) > MAX_SET:
        raise Refused(f"a set of more than {MAX_SET} elements")
    return {inner(part) for part in value}


_SIMPLE = {
    "ellipsis": lambda value, _: ...,
    "int": lambda value, _: _integer(value),
    "float": lambda value, _: float(str(value)[:40]),
    "complex": lambda value, inner: complex(*(float(inner(part)) for part in value)),
    "fraction": lambda value, inner: Fraction(*(int(inner(part)) for part in value)),
    "tuple": lambda value, inner: tuple(inner(part) for part in value),
    "set": _set,
    "dict": lambda value, inner: {inner(key): inner(part) for key, part in value},
}


def _digits(value):
    if abs(value) >= 10 ** (MAX_DIGITS - 1):
        raise Refused("an integer of thousands of digits")
    return str(value)


def _array(value):
    """(tag, NumPy array, dtype's name) of an array, scalar or tensor, or None."""
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    if numpy is not None and isinstance(value, (numpy.ndarray, numpy.generic)):
        array = numpy.ascontiguousarray(value)
        if array.dtype.name not in DTYPES:
            return None
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        tag = "array" if isinstance(value, numpy.ndarray) else "scalar"
        return tag, array.reshape(numpy.shape(value)), array.dtype.name
    if torch is not None and isinstance(value, torch.Tensor):
        tensor = value.detach().cpu().contiguous()
        name = str(tensor.dtype).removeprefix("torch.")
        if name == "bfloat16":
            return "tensor", tensor.view(torch.int16).numpy(), name
        if name not in DTYPES:
            return None
        return "tensor", tensor.resolve_conj().resolve_neg().numpy(), name
    return None


def _encode_array(tag, array, name, block):
    data = array.tobytes()
    if len(block) + len(data) > MAX_BLOCK:
        raise Refused("an array is too large to cross")
    block += data
    return {"t": tag, "dtype": name, "shape": [int(size) for size in array.shape]}


def _decode_array(tag, data, block):
    import numpy as np

    name, shape = data["dtype"], data["shape"]
    if name not in DTYPES and not (name == "bfloat16" and tag == "tensor"):
        raise Refused("a dtype that cannot cross")
    if type(shape) is not list or len(shape) > 32:
        raise Refused("a malformed shape")
    if not all(type(size) is int and 0 <= size <= MAX_BLOCK for size in shape):
        raise Refused("a malformed shape")
    dtype = np.dtype("int16" if name == "bfloat16" else name).newbyteorder("<")
    size = min(math.prod(shape) * dtype.itemsize, MAX_BLOCK + 1)
    if len(found := block.read(size)) < size:
        raise Refused("an array longer than its bytes")
    array = np.frombuffer(found, dtype).astype(dtype.newbyteorder("=")).reshape(shape)
    if tag == "scalar":
        return array[()]
    if tag == "array":
        return array
    import torch

    tensor = torch.from_numpy(array)
    return tensor.view(torch.bfloat16) if name == "bfloat16" else tensor


def _expression(value):
    """The text of a SymPy object, or None."""
    sympy = sys.modules.get("sympy")
    if sympy is None or not isinstance(value, sympy.Basic):
        return None
    return expressions().to_text(value)[:MAX_JSON]


@functools.cache
def expressions():
    """The module `expressions`, which the sandbox has as a file beside this one."""
    if __package__:
        from relubook.grading import expressions as module

        return module
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "expressions.py")
    spec = importlib.util.spec_from_file_location("_expressions", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
