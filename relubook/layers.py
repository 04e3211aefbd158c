"""Torch modules that torch itself lacks."""

import torch


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
