"""What a ReLU with a chosen derivative at 0 costs beside `F.relu`.

Forward and backward over a million elements in one thread, as a multiple of the time of
`F.relu`: the median, and in brackets the quartiles. The last column is what autograd
keeps for the backward pass, in bytes an element, the input included if it is kept.
"""

import os
import platform

import torch
import torch.nn.functional as F
from torch.autograd.graph import saved_tensors_hooks

from benchmarks._timing import ratios
from benchmarks.activations import cell
from relubook.autodiff import relu_with

MILLION = 1 << 20


class Custom(torch.autograd.Function):
    """The alternative. With forward mode added, `torch.compile` refuses it."""

    @staticmethod
    def forward(ctx, z, at_zero):
        ctx.save_for_backward(z)
        ctx.at_zero = at_zero
        return torch.relu(z)

    @staticmethod
    def backward(ctx, upstream):
        (z,) = ctx.saved_tensors
        above = torch.ops.aten.threshold_backward(upstream, z, 0)
        return above.add_(upstream * (z == 0), alpha=ctx.at_zero), None


FUNCTIONS = {
    "`F.relu(z)`": F.relu,
    "`relu_with(at_zero=0.5)(z)`": relu_with(at_zero=0.5),
    "custom `torch.autograd.Function`": lambda z: Custom.apply(z, 0.5),
    "`where(z == 0, z / 2, relu(z))`": lambda z: torch.where(z == 0, z / 2, F.relu(z)),
    "`torch.maximum(z, zero)`": lambda z: torch.maximum(z, z.new_zeros(())),
    "`z.clamp(min=0)`": lambda z: z.clamp(min=0),
    "`F.elu(z)`": F.elu,
}


def main():
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, {platform.machine()}, {os.cpu_count()} CPUs\n")
    columns = {dtype: measure(dtype) for dtype in (torch.float32, torch.bfloat16)}
    print(f"| times `F.relu` | {' | '.join(map(str, columns))} | kept, float32 |")
    print(f"|---|{'--:|' * (len(columns) + 1)}")
    for name, function in FUNCTIONS.items():
        cells = " | ".join(cell(column[name]) for column in columns.values())
        print(f"| {name} | {cells} | {kept(function):.0f} |")


def measure(dtype):
    generator = torch.Generator().manual_seed(0)
    leaf, upstream = torch.randn(2, MILLION, generator=generator).to(dtype)
    leaf.requires_grad_()

    def both_passes(function):
        return lambda: torch.autograd.grad(function(leaf), leaf, upstream)

    functions = {name: both_passes(f) for name, f in FUNCTIONS.items()}
    return ratios(functions, both_passes(F.relu), repeats=15, least=1e-2)


def kept(function):
    """Bytes an element that the backward pass holds on to."""
    leaf = torch.zeros(MILLION, requires_grad=True)
    storages = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        outputs = function(leaf)  # kept alive, or its memory might be given out again
    assert outputs.shape == leaf.shape
    return sum(storages.values()) / MILLION


if __name__ == "__main__":
    main()
