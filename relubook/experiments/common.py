"""What the experiments of all chapters share: the entry of a table, and its training."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from numbers import Integral
from types import MappingProxyType

import pandas as pd

from relubook import datasets

DEVICES = ("cpu", "cuda")


@dataclass(frozen=True)
class Experiment:
    """One entry of EXPERIMENTS: what to run, and its full size.

    run: function (seeds, device) -> DataFrame with the columns `columns`, equally many
        rows for every seed. device is one of `devices`.
    seeds: all of them. piece: how many go into one piece, at most 8 minutes of work.
    devices: what `run` makes use of, out of `DEVICES`; the one to prefer comes first.

    Raises ValueError or TypeError for a field that is malformed.
    """

    name: str
    run: Callable
    seeds: tuple[int, ...]
    piece: int
    columns: tuple[str, ...]
    devices: tuple[str, ...] = ("cpu",)

    def __post_init__(self):
        for field, convert in (("seeds", check_seeds), ("columns", tuple),
                               ("devices", tuple)):
            object.__setattr__(self, field, convert(getattr(self, field)))
        self._demand("name", str(self.name).isidentifier(), "an identifier")
        self._demand("run", callable(self.run), "a function (seeds, device)")
        self._demand("piece", is_natural(self.piece) and self.piece, "an integer > 0")
        self._demand(
            "columns",
            "seed" in self.columns and len(set(self.columns)) == len(self.columns),
            "distinct names with 'seed' among them",
        )
        self._demand(
            "devices",
            self.devices and set(self.devices) <= set(DEVICES),
            f"some of {', '.join(DEVICES)}",
        )

    @property
    def doc(self) -> str:
        """The first line of what `run` says about itself."""
        return (self.run.__doc__ or "").strip().partition("\n")[0]

    @property
    def pieces(self) -> tuple[tuple[int, ...], ...]:
        """The seeds of each piece, in order."""
        starts = range(0, len(self.seeds), self.piece)
        return tuple(self.seeds[start : start + self.piece] for start in starts)

    def _demand(self, field, right, wanted):
        if not right:
            raise ValueError(
                f"experiment {self.name!r}: {field} is {getattr(self, field)!r}, "
                f"but must be {wanted}"
            )


def check_seeds(seeds) -> tuple[int, ...]:
    """The seeds as a tuple of Python integers.

    Raises ValueError unless they are distinct integers >= 0, at least one of them, and
    TypeError for what is no collection.

    >>> check_seeds(range(3))
    (0, 1, 2)
    """
    try:
        seeds = tuple(seeds)
    except TypeError:
        raise TypeError(f"seeds={seeds!r}, want integers >= 0") from None
    if not (seeds and all(map(is_natural, seeds)) and len(set(seeds)) == len(seeds)):
        raise ValueError(f"seeds={seeds}, want distinct integers >= 0, at least one")
    return tuple(map(int, seeds))


def by_name(*experiments):
    """The table of a chapter's experiments: a read-only mapping from name to entry."""
    return MappingProxyType({entry.name: entry for entry in experiments})


def train_all(recipes, data, device, every=1):
    """The results of `training.train` on the dataset called `data`, without its test.

    Raises what `train` raises.
    """
    from relubook.training import train

    return train(list(recipes), training_data(data), every=every, device=device)


def train_to_the_end(columns, recipes, data, device):
    """Train `recipes`, a mapping from the first columns' values; a row for each end."""
    epochs = next(iter(recipes.values())).num_epochs
    results = train_all(recipes.values(), data, device, every=epochs)
    ends = results.groupby("member").tail(1).set_index("member")
    return table(columns, [keyed(columns, ends, recipes)])


def keyed(columns, results, recipes):
    """Results by member, with the first columns' values that name each recipe."""
    names = columns[: len(next(iter(recipes)))]
    keys = pd.DataFrame(list(recipes), columns=names)
    return results.assign(**keys)


def table(columns, tables):
    """The tables one below the other, with these columns only."""
    return pd.concat(tables, ignore_index=True)[list(columns)]


@functools.cache
def training_data(name):
    """A dataset without its test examples: nothing here is to look at them."""
    return replace(getattr(datasets, name)(), test=None)


def demand_cpu(device):
    """Raise ValueError unless `device` is "cpu"."""
    if device != "cpu":
        raise ValueError(f"device={device!r}, want 'cpu'")


def is_natural(value):
    """Whether a value is an integer >= 0, and no bool."""
    return isinstance(value, Integral) and not isinstance(value, bool) and value >= 0
