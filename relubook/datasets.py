"""Small datasets for the comparisons, and a way to bring your own.

Every dataset is a `Dataset` of read-only NumPy arrays, split into training, validation
(for tuning) and test examples. Nothing uses the network unless `download=True` asks
for it, and no function touches NumPy's or Python's global random numbers.
"""

import functools
import gzip
import hashlib
import http.client
import importlib
import math
import os
import random
import urllib.error
import urllib.request
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, fields
from numbers import Integral, Real
from pathlib import Path
from typing import NamedTuple

import numpy as np

# SHA-256 of x and y as mnist1d 0.0.2 makes them, x rounded to 1/100: no value lies
# closer than 6e-8 to where rounding turns, so that it is the same on every machine.
MNIST1D_SEED = 42
MNIST1D_CHECKSUM = "f7733714be354f2561db9926f87d1b2336523931604e36c30a8982e7e21f5796"

FASHION_MNIST_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
FASHION_MNIST_PACKAGE = Path("/usr/share/datasets/fashion-mnist")

# SHA-256 of what is inside: Debian packs the same contents anew.
FASHION_MNIST_CHECKSUMS = {
    "train-images-idx3-ubyte.gz": (
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"
    ),
    "train-labels-idx1-ubyte.gz": (
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"
    ),
    "t10k-images-idx3-ubyte.gz": (
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"
    ),
    "t10k-labels-idx1-ubyte.gz": (
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"
    ),
}

# The functions of `toy_regression`, on [-1, 1].
TOY_FUNCTIONS = {
    "sine": lambda x: np.sin(np.pi * x),
    "absolute_value": np.abs,
    "square": np.square,
    "steps": lambda x: (np.floor(2 * x) + 0.5) / 2,
}


class Split(NamedTuple):
    """The inputs and the labels (or targets) of some examples."""

    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True, eq=False)
class Dataset:
    """Examples for training, for tuning (validation) and for the final test.

    `train`, `validation` and `test` are pairs (x, y) or, the latter two, None. x is
    stored as float32 `[n, features]`, `[n, channels, length]` or `[n, channels,
    height, width]`. With `num_classes` y is int64 `[n]`, the classes from 0 on;
    without it y is float32 `[n, outputs]` (`[n]` becomes `[n, 1]`). Arrays
    are copied and read-only, also in a copy that was pickled. `x * std + mean` undoes
    the standardisation; both broadcast to one example's shape.

    Raises `TypeError` for what is no pair of numerical arrays, `ValueError` for NaN,
    inf (also what is too large for float32), empty splits, shapes that do not agree
    and labels that are no class.

    >>> Dataset("xor", train=([[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]),
    ...         num_classes=2)
    <xor: x [2], 2 classes, train 4>
    """

    name: str
    train: Split
    validation: Split | None = None
    test: Split | None = None
    num_classes: int | None = None
    mean: np.ndarray | float = 0.0
    std: np.ndarray | float = 1.0

    def __post_init__(self):
        if not isinstance(self.name, str) or not self.name:
            raise TypeError(f"name={self.name!r}; wanted a text that is not empty")
        if self.num_classes is not None:
            self._set("num_classes", _integer("num_classes", self.num_classes, 2))
        self._set("train", _checked_split("train", self.train, self.num_classes))
        for part in ("validation", "test"):
            given = getattr(self, part)
            if given is not None:
                checked = _checked_split(part, given, self.num_classes)
                _check_same_shape(part, checked, self.train)
                self._set(part, checked)
        for field in ("mean", "std"):
            value = _statistic(field, getattr(self, field), self.train.x.shape[1:])
            self._set(field, value)
        if not (self.std > 0).all():
            raise ValueError(f"std has the value {self.std.min()}; wanted only > 0")

    def _set(self, field, value):
        object.__setattr__(self, field, value)

    def __repr__(self):
        kind = f"{self.num_classes} classes"
        if self.num_classes is None:
            kind = f"y {list(self.train.y.shape[1:])}"
        sizes = ", ".join(
            f"{part} {len(getattr(self, part).x)}"
            for part in ("train", "validation", "test")
            if getattr(self, part) is not None
        )
        return f"<{self.name}: x {list(self.train.x.shape[1:])}, {kind}, {sizes}>"

    def __reduce__(self):
        # Through the constructor: NumPy forgets that a pickled array is read-only.
        return type(self), tuple(getattr(self, field.name) for field in fields(self))


def split(
    x, y, *, name, validation=0.2, test=0.2, seed=0, over="all", num_classes=None
) -> Dataset:
    """Bring your own data: split at random, standardised by the training examples.

    x is `[n, features]`, `[n, channels, length]` or `[n, channels, height, width]`; y
    is `[n]` integers (or bool) for classes from 0 on, or floats `[n]` or `[n,
    outputs]` for regression. Classes are split in proportion. `validation` and `test`
    are each a fraction of the n examples, a number of them, None, or a pair (x, y)
    that is given apart; the test examples do not depend on `validation`. `num_classes`
    is what y holds if it is not given.

    `over="all"` subtracts one mean and divides by one standard deviation for the whole
    array, which keeps the geometry of images and signals; `over="features"` has its
    own for each feature (one that is constant is divided by 1); None changes nothing.
    Both come from the training examples alone. Targets are left as they are.

    Raises `TypeError` and `ValueError` as `Dataset` does, for sizes that leave nothing
    to train on, and where a class has too few examples.

    >>> rng = np.random.default_rng(0)
    >>> split(rng.normal(size=(50, 3)), rng.integers(0, 2, 50), name="mine")
    <mine: x [3], 2 classes, train 30, validation 10, test 10>

    Reference: Hastie, Tibshirani and Friedman (2009), "The Elements of Statistical
    Learning", section 7.10.2, on what goes wrong where all examples are used.
    """
    x, y = _examples(("x", "y"), x, y)
    seed = _seed(seed)
    if num_classes is None and _are_labels(y):
        num_classes = _count_classes(y)
    remaining = np.arange(len(x))
    held_out = {}
    # The test set first, so that tuning with another validation set keeps it.
    for part, wanted in (("test", test), ("validation", validation)):
        if wanted is None:
            held_out[part] = None
        elif isinstance(wanted, (tuple, list)) and len(wanted) == 2:
            names = f"{part}.x", f"{part}.y"
            held_out[part] = Split(*_examples(names, *wanted))
        else:
            size = _size(part, wanted, len(x))
            remaining, drawn = _draw(part, size, remaining, y, seed)
            held_out[part] = Split(x[drawn], y[drawn])
    train = Split(x[remaining], y[remaining])
    mean, std = _mean_and_std(train.x, over)
    parts = {"train": train, **held_out}
    standardised = {
        part: examples and Split((examples.x - mean) / std, examples.y)
        for part, examples in parts.items()
    }
    return Dataset(name, **standardised, num_classes=num_classes, mean=mean, std=std)


def xor() -> Dataset:
    """Exclusive or: x is (0, 0), (0, 1), (1, 0), (1, 1); y is x[0] + x[1] mod 2.

    All four points are for training, and two classes. Not standardised.

    >>> xor().train.y
    array([0, 1, 1, 0])

    Reference: Goodfellow, Bengio and Courville (2016), "Deep Learning", section 6.1.
    """
    x = [[0, 0], [0, 1], [1, 0], [1, 1]]
    return Dataset("xor", train=Split(x, [0, 1, 1, 0]), num_classes=2)


def toy_regression(name, n=200, noise=0.0, seed=0) -> Dataset:
    """Regression on one input: x uniform on [-1, 1), y = f(x) + noise * N(0, 1).

    f is, by `name`, "sine": sin(πx); "absolute_value": |x|; "square": x²; "steps":
    (⌊2x⌋ + 1/2) / 2, which has jumps of 1/2 at -1/2, 0 and 1/2. x and y are `[n, 1]`,
    in each of the three splits. With one seed, x and the random numbers of the noise
    are the same for every f and every size of the noise. Not standardised.

    Raises `ValueError` for an unknown name, n < 1, and noise that is negative or not
    finite.

    >>> toy_regression("sine", n=50)
    <sine: x [1], y [1], train 50, validation 50, test 50>
    """
    if name not in TOY_FUNCTIONS:
        raise ValueError(f"name={name!r}; wanted one of {', '.join(TOY_FUNCTIONS)}")
    n, seed = _integer("n", n, 1), _seed(seed)
    if not isinstance(noise, Real) or not 0 <= noise < math.inf:
        raise ValueError(f"noise={noise!r}; wanted a standard deviation, 0 or more")
    parts = []
    for rng in _generators(seed):
        x = rng.uniform(-1, 1, (n, 1))
        parts.append(Split(x, TOY_FUNCTIONS[name](x) + noise * rng.normal(size=(n, 1))))
    return Dataset(name, *parts)


def mnist1d(seed=MNIST1D_SEED) -> Dataset:
    """MNIST-1D: ten digit-like shapes, shifted, scaled, sheared and noisy.

    x is `[n, 1, 40]`, 10 classes; made by the library mnist1d with its own settings,
    never downloaded. Of its 4000 training signals 800 are for validation (in
    proportion, the same for every call); its 1000 test signals are the standard ones.
    Standardised over all training values. What the library makes from its own seed,
    42, is checked against a checksum; with another `seed` it makes other signals.

    Takes some seconds the first time, then the signals stay in memory. Raises
    `ModuleNotFoundError` without mnist1d and scikit-learn, `RuntimeError` if the
    checksum differs.

    >>> mnist1d()
    <mnist1d: x [1, 40], 10 classes, train 3200, validation 800, test 1000>

    Reference: Greydanus and Kobak (2024), "Scaling Down Deep Learning with MNIST-1D".
    """
    train, test = _mnist1d_signals(_seed(seed))
    return split(*train, name="mnist1d", validation=800, test=test)


def digits(seed=0) -> Dataset:
    """Handwritten digits, 8 x 8 pixels: 1797 images from scikit-learn.

    x is `[n, 1, 8, 8]`, from whole numbers 0 to 16, standardised over all training
    values; 10 classes. `seed` draws 360 for the test and 360 for validation, in
    proportion; 1077 are for training.

    Raises `ModuleNotFoundError` without scikit-learn.

    >>> digits()
    <digits: x [1, 8, 8], 10 classes, train 1077, validation 360, test 360>

    Reference: Alpaydin and Kaynak (1998), "Optical Recognition of Handwritten Digits".
    """
    data = _import("sklearn.datasets", "scikit-learn").load_digits()
    images = data.images[:, None]
    return split(
        images, data.target, name="digits", validation=360, test=360, seed=seed
    )


def fashion_mnist(folder=None, download=False) -> Dataset:
    """Fashion-MNIST: 70,000 grey pictures of clothes, 28 x 28 pixels.

    x is `[n, 1, 28, 28]`, from whole numbers 0 to 255, standardised over all training
    values; 10 classes. The 10,000 test images are the standard ones; of the 60,000
    others a sixth, 10,000, are for validation (1,000 a class, the same for every
    call).

    Reads the four `.gz` files from `folder` if one is given, otherwise from where the
    Debian package dataset-fashion-mnist has them, or from the user's cache folder.
    `download=True` fetches them (31 MB) to `folder`, or to the cache, where they are
    missing, checks them, and stores only what is whole. Files of the same names with
    other images of ten classes, such as MNIST, do as well.

    Raises `FileNotFoundError` where the files are missing, `ValueError` for a file
    that is damaged, `ConnectionError` where one cannot be fetched or is not what was
    wanted, `ModuleNotFoundError` without scikit-learn.

    >>> fashion_mnist().train.x.shape  # doctest: +SKIP
    (50000, 1, 28, 28)

    Reference: Xiao, Rasul and Vollgraf (2017), "Fashion-MNIST: a Novel Image Dataset
    for Benchmarking Machine Learning Algorithms".
    """
    folder = _fashion_mnist_folder(folder, download)
    files = {name: _read_idx(folder / name) for name in FASHION_MNIST_CHECKSUMS}
    train_images, train_labels, test_images, test_labels = files.values()
    test = (test_images[:, None], test_labels)
    return split(
        train_images[:, None],
        train_labels,
        name="fashion_mnist",
        validation=1 / 6,
        test=test,
        num_classes=10,
    )


def adding_problem(length, n_train, n_validation=None, n_test=None, seed=0) -> Dataset:
    """Sequences in which two marked numbers are to be added: a test of long memory.

    x is `[n, length, 2]`: for each step a value, uniform on [0, 1), and a marker, 1 at
    two steps and 0 elsewhere. One marked step is drawn from the first `length // 2`,
    the other from the rest. y is `[n, 1]`, the sum of the two marked values. Always
    predicting 1 has the mean squared error 1/6, the variance of the sum. One split's
    sequences do not depend on how many the others have. Not standardised.

    Raises `ValueError` for length < 2 and for a split of no sequences (None leaves it
    out).

    >>> adding_problem(100, n_train=1000, n_test=200)
    <adding_problem: x [100, 2], y [1], train 1000, test 200>

    References: Hochreiter and Schmidhuber (1997), "Long Short-Term Memory"; Le, Jaitly
    and Hinton (2015), "A Simple Way to Initialize Recurrent Networks of Rectified
    Linear Units".
    """
    length, seed = _integer("length", length, 2), _seed(seed)
    sizes = {"n_train": n_train, "n_validation": n_validation, "n_test": n_test}
    parts = []
    for (argument, n), rng in zip(sizes.items(), _generators(seed)):
        if n is not None or argument == "n_train":
            parts.append(_marked_sequences(_integer(argument, n, 1), length, rng))
        else:
            parts.append(None)
    return Dataset("adding_problem", *parts)


# --- Checks ---------------------------------------------------------------------------


def _checked_split(part, given, num_classes):
    """A Split of read-only copies."""
    if not isinstance(given, (tuple, list)) or len(given) != 2:
        raise TypeError(f"{part} is a {type(given).__name__}; wanted a pair (x, y)")
    x, y = _examples((f"{part}.x", f"{part}.y"), *given)
    if num_classes is None:
        y = _float32(f"{part}.y", y).reshape(len(y), -1)
    else:
        y = _labels(f"{part}.y", y, num_classes)
    return Split(_read_only(_float32(f"{part}.x", x)), _read_only(y))


def _check_same_shape(part, examples, train):
    for field in Split._fields:
        shape = getattr(examples, field).shape[1:]
        wanted = getattr(train, field).shape[1:]
        if shape != wanted:
            raise ValueError(
                f"{part}.{field} has examples of shape {shape}; wanted {wanted}, as "
                f"train.{field} has"
            )


def _examples(names, x, y):
    """Arrays of as many inputs as labels `[n]` or targets `[n, outputs]`."""
    x_name, y_name = names
    x, y = _numbers(x_name, x), _numbers(y_name, y)
    for name, array in zip(names, (x, y)):
        if array.size == 0:
            raise ValueError(f"{name} is empty (shape {array.shape}); wanted examples")
    if x.ndim < 2:
        raise ValueError(
            f"{x_name} has shape {x.shape}; wanted [n, features], [n, channels, "
            "length] or [n, channels, height, width]"
        )
    if y.ndim > 2 or y.ndim == 0:
        raise ValueError(
            f"{y_name} has shape {y.shape}; wanted classes [n] or targets [n, outputs]"
        )
    if len(x) != len(y):
        raise ValueError(
            f"{x_name} has {len(x)} examples and {y_name} has {len(y)}; wanted as many"
        )
    return x, y


def _numbers(argument, values):
    """A real array that is finite, in float32 too."""
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{argument} is ragged; wanted an array") from error
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{argument} has dtype {array.dtype}; wanted real numbers")
    if array.dtype.kind == "f":
        _float32(argument, array)
    return array


def _float32(argument, array):
    with np.errstate(over="ignore"):  # said below, with where it is
        single = array.astype(np.float32)
    finite = np.isfinite(single)
    if not finite.all():
        bad = np.argwhere(~finite)
        first = tuple(bad[0].tolist())
        raise ValueError(
            f"{argument} has {len(bad)} of {array.size} values that are not finite in "
            f"float32, the first is {array[first]} at index {first}; wanted none"
        )
    return single


def _labels(argument, y, num_classes):
    if not _are_labels(y):
        raise TypeError(
            f"{argument} has dtype {y.dtype} and shape {y.shape}; wanted integers [n] "
            f"for num_classes={num_classes} (none for regression)"
        )
    bad = np.flatnonzero((y < 0) | (y >= num_classes))
    if len(bad):
        raise ValueError(
            f"{argument} has {len(bad)} labels that are no class, the first is "
            f"{y[bad[0]]} at index {bad[0]}; wanted 0 to {num_classes - 1}"
        )
    return y.astype(np.int64)


def _are_labels(y):
    return y.dtype.kind in "biu" and y.ndim == 1


def _count_classes(y):
    classes = np.unique(y)
    if len(classes) < 2 or not np.array_equal(classes, np.arange(len(classes))):
        raise ValueError(
            f"y has the {len(classes)} labels {classes[0]} to {classes[-1]}; wanted "
            "every class 0, 1, 2, ... (or num_classes, or floats for regression)"
        )
    return len(classes)


def _statistic(argument, value, shape):
    statistic = _numbers(argument, value).astype(np.float64)
    try:
        fits = np.broadcast_shapes(statistic.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"{argument} has shape {statistic.shape}; wanted one that broadcasts to an "
            f"example's, {shape}"
        )
    return _read_only(statistic)


def _read_only(array):
    array.setflags(write=False)
    return array


def _integer(argument, value, least, most=math.inf):
    integral = isinstance(value, Integral) and not isinstance(value, bool)
    if not integral or not least <= value <= most:
        limits = f"of {least} or more" if most == math.inf else f"{least} to {most}"
        raise ValueError(f"{argument}={value!r}; wanted a whole number {limits}")
    return int(value)


def _seed(seed):
    return _integer("seed", seed, 0, 2**32 - 1)


# --- Splits ---------------------------------------------------------------------------


def _size(argument, wanted, n):
    """How many of n examples a number or a fraction stands for."""
    number = isinstance(wanted, Real) and not isinstance(wanted, bool)
    if number and isinstance(wanted, Integral) and 1 <= wanted < n:
        return int(wanted)
    if number and 0 < wanted < 1 and 1 <= round(wanted * n) < n:
        return round(wanted * n)
    raise ValueError(
        f"{argument}={wanted!r}; wanted a fraction or a number of the {n} examples, "
        "None, or a pair (x, y)"
    )


def _draw(argument, size, index, y, seed):
    """What remains of `index`, and `size` of it drawn at random, class by class."""
    selection = _import("sklearn.model_selection", "scikit-learn")
    labels = y[index] if _are_labels(y) else None
    try:
        return selection.train_test_split(
            index, test_size=size, random_state=seed, stratify=labels
        )
    except ValueError as error:
        raise ValueError(
            f"{argument}: cannot draw {size} of {len(index)} examples: {error}"
        ) from error


def _mean_and_std(x, over):
    if over is None:
        return 0.0, 1.0
    if over not in ("all", "features"):
        raise ValueError(f"over={over!r}; wanted 'all', 'features' or None")
    axis = None if over == "all" else 0
    mean = x.mean(axis, dtype=np.float64)
    std = x.std(axis, dtype=np.float64)
    # The mean of equal values may be off by rounding, so std alone does not tell.
    constant = (x.max(axis) == x.min(axis)) | (std == 0)
    return mean, np.where(constant, 1.0, std)


def _generators(seed):
    """One for each split: the size of one changes no other."""
    return [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(3)]


# --- The datasets ---------------------------------------------------------------------


def _import(module, package):
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"this needs {package}, but {error}; install it: pip install {package}"
        ) from error


@functools.cache
def _mnist1d_signals(seed):
    library = _import("mnist1d.data", "mnist1d")
    settings = library.get_dataset_args()
    settings.seed = seed
    with _global_random_numbers_kept():
        data = library.make_dataset(settings)
    train, test = Split(data["x"], data["y"]), Split(data["x_test"], data["y_test"])
    checksum = _mnist1d_checksum(train, test)
    if seed == MNIST1D_SEED and checksum != MNIST1D_CHECKSUM:
        raise RuntimeError(
            f"mnist1d made other signals than those of the book: their checksum is "
            f"{checksum}; wanted {MNIST1D_CHECKSUM}, as mnist1d 0.0.2 makes them"
        )
    # Others will get these same arrays.
    return tuple(
        Split(_read_only(part.x[:, None]), _read_only(part.y)) for part in (train, test)
    )


def _mnist1d_checksum(train, test):
    checksum = hashlib.sha256()
    for part in (train, test):
        checksum.update(np.rint(100 * part.x).astype("<i2").tobytes())
        checksum.update(part.y.astype("<i2").tobytes())
    return checksum.hexdigest()


@contextmanager
def _global_random_numbers_kept():
    """mnist1d seeds NumPy's and Python's global generators and draws from them."""
    numpy_state, python_state = np.random.get_state(), random.getstate()
    try:
        yield
    finally:
        np.random.set_state(numpy_state)
        random.setstate(python_state)


def _marked_sequences(n, length, rng):
    values = rng.random((n, length), dtype=np.float32)
    half = length // 2
    marked = np.column_stack([rng.integers(0, half, n), rng.integers(half, length, n)])
    markers = np.zeros_like(values)
    np.put_along_axis(markers, marked, 1, axis=1)
    total = np.take_along_axis(values, marked, axis=1).sum(axis=1, keepdims=True)
    return Split(np.stack([values, markers], axis=2), total)


def _fashion_mnist_folder(folder, download):
    """The folder that has the files, if need be after fetching them to it."""
    if folder is not None:
        places = [Path(folder).expanduser()]
    else:
        cache = _import("platformdirs", "platformdirs").user_cache_path("relubook")
        places = [FASHION_MNIST_PACKAGE, cache / "fashion-mnist"]
    for place in places:
        if all((place / name).is_file() for name in FASHION_MNIST_CHECKSUMS):
            return place
    if not download:
        raise FileNotFoundError(
            f"Fashion-MNIST is not in {' or '.join(map(str, places))}; install the "
            "Debian package dataset-fashion-mnist (apt install dataset-fashion-mnist), "
            "name the folder that has the four .gz files with folder=..., or fetch "
            "them (31 MB) with download=True"
        )
    for name, checksum in FASHION_MNIST_CHECKSUMS.items():
        if not (places[-1] / name).is_file():
            _fetch(name, checksum, places[-1])
    return places[-1]


def _fetch(name, checksum, folder):
    url = FASHION_MNIST_URL + name
    try:
        with urllib.request.urlopen(url, timeout=60) as response:
            packed = response.read()
        found = hashlib.sha256(gzip.decompress(packed)).hexdigest()
    except (OSError, EOFError, zlib.error, http.client.HTTPException) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it is a response too, with a connection
        raise ConnectionError(f"could not fetch {url}: {error!r}") from error
    if found != checksum:
        raise ConnectionError(
            f"{url} is not what was wanted: the SHA-256 of its contents is {found}; "
            f"wanted {checksum}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{name}.{os.getpid()}.part"
    try:
        part.write_bytes(packed)
        part.replace(folder / name)
    finally:
        part.unlink(missing_ok=True)


def _read_idx(path):
    """The array of bytes in a packed IDX file: a magic number, the shape, the values.

    `NAME-idx3-ubyte.gz` has three axes.
    """
    ndim = int(path.name.split("-idx")[1][0])
    try:
        content = gzip.decompress(path.read_bytes())
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(
            f"{path} is damaged ({error}); wanted a whole .gz file: remove it and get "
            "it anew"
        ) from error
    start = 4 * (1 + ndim)
    header = content[:start].ljust(start, b"\0")
    magic, *shape = np.frombuffer(header, ">u4").tolist()
    if magic != 0x800 + ndim or math.prod(shape) != len(content) - start:
        raise ValueError(
            f"{path} has {len(content)} bytes with the magic number {magic} and the "
            f"shape {shape}; wanted {0x800 + ndim} and as many bytes as that shape has"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
