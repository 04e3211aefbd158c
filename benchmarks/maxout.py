"""What a maxout layer costs beside a ReLU layer of as many pre-activations.

Value and gradients of weights, biases and input in one thread, float32, as a multiple of
the time of `relu(linear(x))`: the median, and in brackets the quartiles. The ReLU layer
hands on k times as many activations, so what follows it costs more; that is not counted.
"""

import os
import platform

import torch

from benchmarks._timing import ratios
from benchmarks.activations import cell
from relubook.layers import Maxout

PRE_ACTIVATIONS = 960
LAYERS = [(batch, inputs) for batch in (100, 1000) for inputs in (64, 960)]


def main():
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, {platform.machine()}, {os.cpu_count()} CPUs\n")
    pieces = 2, 3, 5, 16
    print(f"| {PRE_ACTIVATIONS} pre-activations | "
          + " | ".join(f"k = {k}" for k in pieces) + " |")
    print(f"|---|{'--:|' * len(pieces)}")
    for batch, inputs in LAYERS:
        found = measure(batch, inputs, pieces)
        cells = " | ".join(cell(found[k]) for k in pieces)
        print(f"| {batch} examples of {inputs} inputs | {cells} |")


def measure(batch, inputs, pieces):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(batch, inputs, generator=generator).requires_grad_()

    def both_passes(layer):
        upstream = torch.ones_like(layer(x))
        wanted = [x, *layer.parameters()]
        return lambda: torch.autograd.grad(layer(x), wanted, upstream)

    linear = torch.nn.Linear(inputs, PRE_ACTIVATIONS)
    relu = both_passes(torch.nn.Sequential(linear, torch.nn.ReLU()))
    layers = {k: both_passes(Maxout(inputs, PRE_ACTIVATIONS // k, k)) for k in pieces}
    return ratios(layers, relu, repeats=15, least=2e-2)


if __name__ == "__main__":
    main()
