"""What is trained, and how: a `Recipe`, said once and never changed."""

import math
from dataclasses import dataclass, fields, replace
from numbers import Integral, Real

from relubook._arguments import is_positive_integer
from relubook.activations import CATALOGUE, Activation

# Members that differ in these alone have networks of one shape and take the same steps
# in the same order, so that they can be trained stacked.
_OWN = {
    "lr": 1.0, "weight_decay": 0.0, "initialisation": "he", "gain": None, "bias": 0.0,
    "seed": 0,
}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    r"""One network and its training, complete but for the data.

    The network: `channels` convolutional layers (kernel `kernel_size` in each
    direction, stride 2, padding `kernel_size // 2`; none by default), then `widths`
    hidden layers of units, then an affine layer, its width given by the data. Each
    hidden layer is followed by `activation`: a name in
    `relubook.activations.CATALOGUE`, an `Activation` with a torch module (its
    parameters are in it: `CATALOGUE["elu"].with_params(alpha=2)`), or "maxout", where
    a unit is the largest of `num_pieces` affine maps. "prelu" learns a slope per
    `prelu`: "layer" or "unit" (in a convolutional layer: channel). `dropout` is the
    probability with which a value behind a dense hidden layer is set to 0 in training;
    the others are divided by 1 - dropout. `relubook.networks.mlp` and `cnn` build the
    same networks as torch modules.

    The start: weights are normal with mean 0 and the standard deviation that
    `relubook.initialisation.weight_std` gives for `initialisation` ("he", "xavier",
    "lecun" or that number itself), the fans and `gain`; `gain=None` is the one that
    keeps the variance under the activation for "he", 1 otherwise, and always 1 in the
    output layer. `bias` is the first bias of every hidden unit; the output's is 0.

    The training: `optimizer` "sgd" with `momentum`, or "adam" with `betas`, as
    `torch.optim` defines them, each step with the learning rate `lr` times a factor
    of the epoch e = 0, 1, ...: 1 for `schedule` "constant",
    (1 + cos(pi e / num_epochs)) / 2 for "cosine". `weight_decay` is added to the
    gradient times the weights and biases, and to that of PReLU's slopes only with
    `decay_slopes`: it would pull them towards ReLU. In each of `num_epochs` epochs the
    training set is shuffled and cut into minibatches of `batch_size` (None: all of
    it); what is left over at the end waits for the next shuffle. `dtype` is "float32"
    or "float64". `seed` alone decides the draws of weights, minibatches and dropout,
    so members with equal seeds are paired: they differ only where their recipes do.

    Raises `ValueError` or `TypeError`, which name the field, what came and what was
    wanted.

    >>> Recipe(activation="elu", widths=(64,), lr=0.01, seed=3).num_hidden
    1

    References: He, Zhang, Ren and Sun, "Delving Deep into Rectifiers" (2015);
    Srivastava et al., "Dropout" (2014); Kingma and Ba, "Adam" (2015).
    """

    activation: str | Activation = "relu"
    widths: tuple[int, ...] = (100, 100)
    channels: tuple[int, ...] = ()
    kernel_size: int = 3
    num_pieces: int = 2
    prelu: str = "layer"
    dropout: float = 0.0
    initialisation: str | float = "he"
    gain: float | None = None
    bias: float = 0.0
    optimizer: str = "adam"
    lr: float = 1e-3
    momentum: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    decay_slopes: bool = False
    schedule: str = "constant"
    num_epochs: int = 10
    batch_size: int | None = 100
    dtype: str = "float32"
    seed: int = 0

    def __post_init__(self):
        for name in ("widths", "channels", "betas"):
            values = getattr(self, name)
            if isinstance(values, str) or not hasattr(values, "__iter__"):
                raise TypeError(f"{name}={values!r}, want a sequence of numbers")
            object.__setattr__(self, name, tuple(values))
        self._check_activation()
        for name in ("widths", "channels"):
            for value in getattr(self, name):
                self._demand(name, is_positive_integer(value), "positive integers")
        counts = ["kernel_size", "num_pieces", "num_epochs"]
        if self.batch_size is not None:
            counts.append("batch_size")
        for name in counts:
            self._demand(name, is_positive_integer(getattr(self, name)), "a positive integer")
        self._demand("kernel_size", self.kernel_size % 2, "an odd number")
        self._demand("seed", _is_integer(self.seed) and 0 <= self.seed < 2**32,
                     "an integer from 0 to 2**32 - 1")
        self._choice("prelu", "layer", "unit")
        self._choice("optimizer", "adam", "sgd")
        self._choice("schedule", "constant", "cosine")
        self._choice("dtype", "float32", "float64")
        self._number("lr", lambda lr: lr > 0, "a number > 0")
        self._number("weight_decay", lambda decay: decay >= 0, "a number >= 0")
        self._number("dropout", lambda p: 0 <= p < 1, "a probability below 1")
        self._number("momentum", lambda m: 0 <= m < 1, "a number from 0 to below 1")
        self._number("bias", lambda bias: True, "a finite number")
        if self.gain is not None:
            self._number("gain", lambda gain: gain >= 0, "a number >= 0, or None")
        if isinstance(self.initialisation, str):
            self._choice("initialisation", "he", "xavier", "lecun")
        else:
            self._number("initialisation", lambda std: std >= 0, "a scheme or a number")
        self._demand(
            "betas",
            len(self.betas) == 2 and all(_is_finite(b) and 0 <= b < 1 for b in self.betas),
            "two numbers from 0 to below 1",
        )
        if self.gain is not None and self.initialisation not in ("he", "xavier"):
            raise ValueError(
                f"gain={self.gain} with initialisation={self.initialisation!r}, want it "
                "with 'he' or 'xavier'"
            )
        if self.momentum and self.optimizer != "sgd":
            raise ValueError(
                f"momentum={self.momentum} with optimizer={self.optimizer!r}, want it "
                "with 'sgd' (Adam's are its betas)"
            )

    @property
    def num_hidden(self):
        """The number of hidden layers, convolutional ones included."""
        return len(self.channels) + len(self.widths)

    @property
    def is_maxout(self):
        return self.activation == "maxout"

    @property
    def label(self):
        """The activation's name, with its parameters where they are not the usual ones.

        >>> Recipe(activation=CATALOGUE["elu"].with_params(alpha=2)).label
        'elu(alpha=2)'
        """
        record = self.activation_record
        if record is None or record == CATALOGUE.get(record.name):
            return self.activation if record is None else record.name
        params = ", ".join(f"{name}={value}" for name, value in record.params.items())
        return f"{record.name}({params})" if params else record.name

    @property
    def activation_record(self):
        """The `Activation`, looked up if it was given by name; None for maxout."""
        if self.is_maxout:
            return None
        if isinstance(self.activation, Activation):
            return self.activation
        return CATALOGUE[self.activation]

    @property
    def structure(self):
        """What members must share to be trained stacked: a recipe without its own part.

        >>> Recipe(seed=1, lr=0.1).structure == Recipe(seed=2, gain=1.0).structure
        True
        >>> Recipe(widths=(10,)).structure == Recipe(widths=(20,)).structure
        False
        """
        return replace(self, activation=self.activation_record or "maxout", **_OWN)

    def factor(self, epoch):
        """What the learning rate is multiplied with in an epoch, counted from 0."""
        if self.schedule == "constant":
            return 1.0
        return (1 + math.cos(math.pi * epoch / self.num_epochs)) / 2

    def _check_activation(self):
        if isinstance(self.activation, str):
            if not self.is_maxout:
                CATALOGUE[self.activation]  # an unknown name is an error that says more
        elif not isinstance(self.activation, Activation):
            raise TypeError(
                f"activation={self.activation!r}, want a name in CATALOGUE, 'maxout' or "
                "an Activation"
            )
        if not self.is_maxout and self.activation_record.module is None:
            raise ValueError(
                f"activation={self.activation!r} names no torch module: give it `module`"
            )
        if self.is_maxout and self.channels:
            raise ValueError(
                f"channels={self.channels} with maxout, want no convolutional layers"
            )

    def _demand(self, name, right, wanted):
        if not right:
            raise ValueError(f"{name}={getattr(self, name)!r}, want {wanted}")

    def _choice(self, name, *choices):
        value = getattr(self, name)
        known = isinstance(value, str) and value in choices
        self._demand(name, known, " or ".join(map(repr, choices)))

    def _number(self, name, right, wanted):
        value = getattr(self, name)
        if not isinstance(value, Real) or isinstance(value, bool):
            raise TypeError(f"{name}={value!r}, want {wanted}")
        self._demand(name, math.isfinite(value) and right(value), wanted)


FIELDS = tuple(field.name for field in fields(Recipe))


def _is_integer(value):
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_finite(value):
    return isinstance(value, Real) and math.isfinite(value)
