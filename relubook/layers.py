"""Torch modules that torch itself lacks, and the function behind one of them.

They follow torch's conventions: any number of leading axes, `device` and `dtype` when
built, `state_dict`, `repr`. Chapters "The rectified linear unit" and "Maxout" use them.
"""

import math

import torch

from relubook._arguments import positive_integer


class AbsoluteValue(torch.nn.Module):
    r"""Absolute value rectification, $|z|$.

    Shape `[...] -> [...]`, dtype kept. 0 at 0, inf at +-inf, NaN at NaN. At the kink 0
    the derivative is the one torch gives `abs`: 0, the middle of [-1, 1].

    >>> AbsoluteValue()(torch.tensor([-2.0, 3.0]))
    tensor([2., 3.])

    Reference: Jarrett et al. (2009).
    """

    def forward(self, z):
        return z.abs()


class Maxout(torch.nn.Module):
    r"""A layer of maxout units, each the largest of `num_pieces` affine functions.

    $$f_i(x) = \max_{j} \; (w_{ij} \cdot x + b_{ij}), \quad j = 1, \dots, k$$

    Shapes: `[..., in_features] -> [..., out_features]`; leading axes may be empty.
    Parameters: `weight` [out_features, num_pieces, in_features] and `bias`
    [out_features, num_pieces], or None with `bias=False`. So `weight[i]` has the pieces
    of unit i, `weight[:, j]` is the weight of one piece of every unit, laid out as in
    `torch.nn.Linear`, and `weight.flatten(0, 1)` that of one linear layer whose
    features are taken in consecutive groups of k. Both start as in `torch.nn.Linear`,
    uniform between ±1/√in_features.

    NaN in a piece gives NaN. Where pieces tie, the first one has the whole gradient;
    the others, like those that lose, get 0.

    Raises `ValueError` for sizes that are no positive integers and for an input of
    another width, `TypeError` for an input that is no tensor of the weights' dtype.

    >>> layer = Maxout(1, 2, num_pieces=2)
    >>> layer
    Maxout(in_features=1, out_features=2, num_pieces=2, bias=True)
    >>> with torch.no_grad():
    ...     _ = layer.weight.copy_(torch.tensor([[[1.0], [-1.0]], [[1.0], [0.0]]]))
    ...     _ = layer.bias.zero_()
    >>> layer(torch.tensor([[-2.0], [3.0]])).tolist()  # |x| and ReLU(x)
    [[2.0, 0.0], [3.0, 3.0]]

    Reference: Goodfellow, Warde-Farley, Mirza, Courville and Bengio, "Maxout
    Networks" (2013).
    """

    def __init__(
        self,
        in_features,
        out_features,
        num_pieces=2,
        bias=True,
        device=None,
        dtype=None,
    ):
        super().__init__()
        self.in_features = positive_integer("in_features", in_features)
        self.out_features = positive_integer("out_features", out_features)
        self.num_pieces = positive_integer("num_pieces", num_pieces)
        shape = self.out_features, self.num_pieces
        kind = {"device": device, "dtype": dtype}
        self.weight = torch.nn.Parameter(
            torch.empty(*shape, self.in_features, **kind)
        )
        if bias:
            self.bias = torch.nn.Parameter(torch.empty(shape, **kind))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self):
        """Draw weight and bias anew from torch's global generator."""
        bound = 1 / math.sqrt(self.in_features)
        for parameter in self.parameters():
            torch.nn.init.uniform_(parameter, -bound, bound)

    def forward(self, x):
        _demand_tensor("x", x)
        if x.ndim == 0 or x.shape[-1] != self.in_features:
            raise ValueError(
                f"x has shape {list(x.shape)}, want [..., {self.in_features}]"
            )
        if x.dtype != self.weight.dtype and not torch.is_autocast_enabled(x.device.type):
            raise TypeError(f"x has dtype {x.dtype}, want {self.weight.dtype}")
        bias = None if self.bias is None else self.bias.flatten()
        z = torch.nn.functional.linear(x, self.weight.flatten(0, 1), bias)
        return maxout(z, self.num_pieces)

    def extra_repr(self):
        return (
            f"in_features={self.in_features}, out_features={self.out_features},"
            f" num_pieces={self.num_pieces}, bias={self.bias is not None}"
        )


def maxout(z, num_pieces):
    r"""The largest of each group of `num_pieces` neighbours on the last axis.

    $$h_i = \max_j z_j, \quad j \in \{(i-1)k + 1, \dots, ik\}$$

    Shape `[..., k * units] -> [..., units]`, a tensor, dtype kept. NaN in a group gives
    NaN. Where several are largest, the first has the whole gradient. (`amax` would
    share it out, `maximum` would halve it.)

    Raises `ValueError` where num_pieces is no positive integer or does not divide the
    last axis, and where that axis is empty; `TypeError` for what is no tensor.

    >>> maxout(torch.tensor([1.0, -2.0, 3.0, 3.0]), num_pieces=2)
    tensor([1., 3.])

    Reference: Goodfellow, Warde-Farley, Mirza, Courville and Bengio, "Maxout
    Networks" (2013).
    """
    num_pieces = positive_integer("num_pieces", num_pieces)
    _demand_tensor("z", z)
    if z.ndim == 0 or z.shape[-1] == 0:
        raise ValueError(f"z has shape {list(z.shape)}, want [..., k * units]")
    size = z.shape[-1]
    if size % num_pieces:
        raise ValueError(
            f"num_pieces={num_pieces} does not divide the last axis of size {size}"
        )
    # max with a dimension documents that its index is the first; it decides the ties.
    return z.unflatten(-1, (size // num_pieces, num_pieces)).max(dim=-1).values


def _demand_tensor(name, value):
    if not isinstance(value, torch.Tensor):
        raise TypeError(f"{name} is a {type(value).__name__}, want a tensor")
