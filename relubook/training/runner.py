"""`train`: recipes in, a table out; whatever lies between is nobody's business."""

import contextlib
import ctypes
import functools
import itertools
import os
import threading
import warnings
from concurrent import futures
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from tqdm.std import tqdm

from relubook import networks as builders
from relubook._arguments import positive_integer
from relubook.datasets import Dataset
from relubook.notebook import in_build
from relubook.training.checkpoint import Checkpoint
from relubook.training.engine import BLOCK, Stack
from relubook.training.recipe import FIELDS, Recipe

# Members of a chunk on a CPU: enough to make Python's share of a step small, and few
# enough that parameters and optimiser state stay in a processor's cache.
_MOST = 16
_CACHE = 2**22  # bytes


def train(
    recipes, data, *, every=1, device="auto", networks=False, checkpoint=None,
    executor=None, workers=None, chunk=None, progress=True,
):
    """Train one network for each recipe; a DataFrame with a row per member and epoch.

    `recipes` are `Recipe`s (one or many), `data` a `relubook.datasets.Dataset` or a
    function without arguments that returns one, called where the training happens.
    Members whose recipes differ in learning rate, weight decay, initialisation or seed
    alone are trained stacked, in chunks, each as if it were alone: on a CPU a member's
    numbers are the same to the bit whatever else is trained, in whatever order and
    chunks, by however many workers. On a GPU they agree to rounding.

    Columns: `member`, the recipe's place; `activation`, `lr`, `seed` and every other
    field in which the recipes differ; `epoch`, 0 before training, then each `every`-th
    and the last; for each split the data have `train_loss`, `train_accuracy`,
    `validation_loss` and so on, at that moment and without dropout (cross-entropy in
    nats; for regression, the mean square and no accuracy); `dead_1`, ... the share of
    units of each hidden layer whose derivative is exactly 0 on every training example
    (of maxout's pieces, those nowhere the largest); `exact_zeros`, how many hidden
    pre-activations of the training set are exactly 0; `grad_norm_1`, ... the norm of
    the gradient of each layer's weights on the first `batch_size` training examples;
    and `diverged`. A member with a parameter or training loss that is not finite has
    diverged: that row, with NaN, is its last.

    `device` is "auto" (a GPU if there is one), "cpu", "cuda" or "cuda:1". On a CPU,
    `workers` threads (as many as there are processors) train chunks of `chunk` members
    (at most 16, fewer if they are large), each without threads of its own. `executor`,
    any `concurrent.futures.Executor`, takes the chunks instead: a process pool, or a
    Dask cluster's `client.get_executor()`. With `checkpoint`, a folder, what is
    finished is kept there, and the same call later goes on from it.

    Ctrl-C returns what there is, with a warning; `results.attrs["unfinished"]` lists
    the members that did not reach their last epoch, and is empty otherwise.

    With `networks=True` returns (results, list of torch modules in the recipes' order,
    None for members without finished training).

    Raises `ValueError` or `TypeError` for what does not fit together, before anything
    is trained: recipes, data (batches larger than the training set, no channels for a
    convolution), a device that is not there, a checkpoint of other data or versions.

    >>> from relubook.datasets import xor
    >>> recipe = Recipe(widths=(8,), batch_size=4, num_epochs=200, lr=0.05)
    >>> results = train(recipe, xor(), every=100, device="cpu")
    >>> results[["epoch", "train_accuracy"]].to_numpy().tolist()[-1]
    [200.0, 1.0]
    """
    recipes = _recipes(recipes)
    device = _device(device)
    positive_integer("every", every)
    for name, value in dict(workers=workers, chunk=chunk).items():
        if value is not None:
            positive_integer(name, value)
    examples = data() if callable(data) else data
    _check_data(recipes, examples)
    store = Checkpoint(checkpoint, examples, device, every, networks)
    found = {i: store[recipe] for i, recipe in enumerate(recipes) if recipe in store}

    todo = [i for i in range(len(recipes)) if i not in found]
    workers = workers or (1 if device.type == "cuda" else _processors())
    chunks = list(_chunks(recipes, todo, examples, device, workers, chunk))
    total = sum(recipe.num_epochs for recipe in recipes)
    done = sum(recipes[i].num_epochs for i in found)
    bar = tqdm(
        total=total, initial=done, unit="epoch", delay=1, leave=False,
        disable=not progress or in_build(),
    )
    with bar:
        for members, trained in _work(
            chunks, recipes, data, examples, device, every, networks, executor,
            workers, bar,
        ):
            found.update(zip(members, trained))
            store.save({recipes[i]: t for i, t in zip(members, trained) if t.finished})
    return _answer(recipes, found, examples, networks)


@dataclass
class Trained:
    """What is known of a member: a dict a row, its tensors, whether it got to the end."""

    rows: list
    state: list | None
    finished: bool


def train_chunk(recipes, data, device, every, networks, report=None, stopped=None):
    """Train recipes of one structure together: a list of `Trained` in their order.

    What an executor runs: a plain function of what can be pickled, `report` (called
    with the number of member-epochs done) and `stopped` (asked whether to end early)
    left out.
    """
    threads = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)  # threads inside a step collapse on a busy machine
    try:
        return _train_chunk(recipes, data, device, every, networks, report, stopped)
    finally:
        torch.set_num_threads(threads)


def _train_chunk(recipes, data, device, every, networks, report, stopped):
    examples = data() if callable(data) else data
    shared = recipes[0].structure
    x, y = _tensors(examples, "train", shared.dtype, device)
    stack = Stack(
        recipes, examples.train.x.shape[1:], _outputs(examples),
        examples.num_classes is not None, device,
    )
    trained = [Trained([], None, False) for _ in recipes]
    alive = list(range(len(recipes)))  # the stack's rows, as places in `recipes`
    size = shared.batch_size or len(x)
    orders = {r.seed: np.random.default_rng((r.seed, 0, 0, 1)) for r in recipes}
    step = _stepper(stack, x, y, size)

    for epoch in range(shared.num_epochs + 1):
        if epoch:
            stack.set_epoch(epoch - 1)
            for batch in _minibatches(stack.recipes, orders, len(x), size, device):
                if stopped and stopped():
                    return trained
                step(batch)
            if report:
                report(len(alive))
        last = epoch == shared.num_epochs
        finite = stack.finite()
        if epoch % every == 0 or last:
            found = _observe(stack, examples, device, size)
            finite &= np.isfinite(found["train_loss"])
            for row, member in enumerate(alive):
                values = {name: column[row].item() for name, column in found.items()}
                if finite[row]:
                    values |= {"epoch": epoch, "diverged": False}
                    trained[member].rows.append(values)
        for row, member in enumerate(alive):
            if not finite[row]:
                trained[member].rows.append({"epoch": epoch, "diverged": True})
                trained[member].finished = True
                if report:
                    report(shared.num_epochs - epoch)
            elif last:
                trained[member].finished = True
            if networks and trained[member].finished:
                trained[member].state = stack.state(row)
        if not finite.all() and not last:
            alive = [member for row, member in enumerate(alive) if finite[row]]
            if not alive:
                break
            stack.keep(np.flatnonzero(finite))
            step = _stepper(stack, x, y, size)
    return trained


def _minibatches(recipes, orders, count, size, device):
    """An epoch's minibatches, each int64 [members, size]: the examples' places."""
    steps = count // size
    shuffled = {seed: rng.permutation(count) for seed, rng in orders.items()}
    places = np.stack([shuffled[recipe.seed][: steps * size] for recipe in recipes])
    places = torch.from_numpy(places.reshape(len(recipes), steps, size)).to(device)
    return places.unbind(1)


def _stepper(stack, x, y, size):
    """A function that does one step with the minibatch of places [members, size]."""
    def step(places):
        flat = places.flatten()
        batch, labels = (
            values.index_select(0, flat).unflatten(0, places.shape) for values in (x, y)
        )
        stack.step(batch, labels)

    if stack.device.type != "cuda":
        return step
    return _recorded(stack, step, size)


def _recorded(stack, step, size):
    """The same step, recorded once as a CUDA graph and replayed without Python."""
    places = torch.zeros(
        len(stack.recipes), size, dtype=torch.int64, device=stack.device
    )
    before = [t.clone() for t in stack.moving_tensors()]
    side = torch.cuda.Stream(stack.device)
    side.wait_stream(torch.cuda.current_stream(stack.device))
    with torch.cuda.stream(side):  # libraries set themselves up outside of a graph
        for _ in range(3):
            step(places)
    torch.cuda.current_stream(stack.device).wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step(places)
    # Undo the trial steps. What the optimiser has only now was 0 before them.
    before = itertools.chain(before, itertools.repeat(None))
    for tensor, old in zip(stack.moving_tensors(), before):
        tensor.detach().zero_() if old is None else tensor.detach().copy_(old)

    def replay(batch):
        places.copy_(batch)
        graph.replay()

    return replay


def _observe(stack, examples, device, size):
    found = {}
    for part in ("train", "validation", "test"):
        if getattr(examples, part) is None:
            continue
        x, y = _tensors(examples, part, stack.shared.dtype, device)
        for name, values in stack.evaluate(x, y, look_inside=part == "train").items():
            own = name in ("loss", "accuracy")
            found[f"{part}_{name}" if own else name] = values
        if part == "train":
            found |= stack.gradient_norms(x[:size], y[:size])
    return found


def _work(
    chunks, recipes, data, examples, device, every, networks, executor, workers, bar
):
    """Yield (members, their `Trained`) as chunks are finished, or as far as they got."""
    lock, stop = threading.Lock(), threading.Event()
    options = dict(device=device, every=every, networks=networks)

    def report(epochs):
        with lock:
            bar.update(epochs)

    own = executor is None
    if own:
        executor = futures.ThreadPoolExecutor(workers, initializer=_prepare_thread)
        data, options = examples, options | dict(report=report, stopped=stop.is_set)
    jobs = {}
    try:
        for chunk in chunks:
            job = executor.submit(
                train_chunk, [recipes[i] for i in chunk], data, **options
            )
            jobs[job] = chunk
        for job in futures.as_completed(jobs):
            chunk = jobs[job]
            yield chunk, job.result()
            if not own:
                report(sum(recipes[i].num_epochs for i in chunk))
            del jobs[job]
    except KeyboardInterrupt:
        stop.set()
        for job, chunk in jobs.items():
            if not job.cancel() and (own or job.done()):
                yield chunk, job.result()
    finally:
        stop.set()
        for job in jobs:
            job.cancel()
        if own:
            executor.shutdown(cancel_futures=True)


def _prepare_thread():
    # A processor takes a hundred times as long over numbers below 1e-38. The setting
    # is this thread's, and these threads do nothing else.
    torch.set_flush_denormal(True)
    _keep_freed_memory()


@functools.cache
def _keep_freed_memory():
    """Ask glibc not to return memory after every step: fetching it anew costs time."""
    with contextlib.suppress(AttributeError, OSError, TypeError):  # another C library
        c_library = ctypes.CDLL(None)
        c_library.mallopt(-1, 2**27)  # M_TRIM_THRESHOLD, bytes
        c_library.mallopt(-3, 2**25)  # M_MMAP_THRESHOLD


def _answer(recipes, found, examples, networks):
    varying = [
        name for name in FIELDS
        if name in ("activation", "lr", "seed")
        or any(getattr(r, name) != getattr(recipes[0], name) for r in recipes)
    ]
    rows = []
    for member, recipe in enumerate(recipes):
        own = {name: getattr(recipe, name) for name in varying}
        own |= {"member": member, "activation": recipe.label}
        rows += [own | row for row in found[member].rows] if member in found else []
    columns = ["member", *varying, "epoch"]
    results = pd.DataFrame(rows)
    measured = [name for name in results if name not in (*columns, "diverged")]
    order = sorted(measured, key=_place)
    results = results.reindex(columns=[*columns, *order, "diverged"])
    finished = [m in found and found[m].finished for m in range(len(recipes))]
    results.attrs["unfinished"] = [m for m, good in enumerate(finished) if not good]
    if not all(finished):
        warnings.warn(
            f"interrupted: {sum(finished)} of {len(recipes)} members finished; the "
            'others are listed in results.attrs["unfinished"]',
            stacklevel=3,
        )
    if not networks:
        return results
    return results, [
        _module(recipe, found[m].state, examples) if finished[m] else None
        for m, recipe in enumerate(recipes)
    ]


def _recipes(recipes):
    recipes = [recipes] if isinstance(recipes, Recipe) else list(recipes)
    if not recipes:
        raise ValueError("recipes is empty, want at least one Recipe")
    for recipe in recipes:
        if not isinstance(recipe, Recipe):
            raise TypeError(f"recipes contains {recipe!r}, want Recipes only")
    return recipes


def _device(device):
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"device={device!r}, want 'auto', 'cpu' or 'cuda'") from error
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"device={str(device)!r}, want 'auto', 'cpu' or 'cuda'")
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.type == "cuda" and (device.index or 0) >= there:
        raise ValueError(
            f"device={str(device)!r}, but torch sees {there} GPUs here: want 'auto' or "
            "'cpu'"
        )
    return device


def _check_data(recipes, data):
    if not isinstance(data, Dataset):
        raise TypeError(
            f"data is a {type(data).__name__}, want a relubook.datasets.Dataset or a "
            "function that returns one"
        )
    count, shape = len(data.train.x), data.train.x.shape[1:]
    for structure in {recipe.structure for recipe in recipes}:
        if (structure.batch_size or 0) > count:
            raise ValueError(
                f"batch_size={structure.batch_size}, but data has {count} training "
                "examples"
            )
        if structure.channels and len(shape) < 2:
            raise ValueError(
                f"channels={structure.channels} with examples of shape {list(shape)}, "
                "want [channels, length] or [channels, height, width]"
            )
        record = structure.activation_record
        if record is None:
            continue
        module = record.torch_module()
        learned = any(True for _ in module.parameters())
        if learned and not isinstance(module, torch.nn.PReLU):
            raise ValueError(
                f"activation {record.name}: its module learns parameters of its own, "
                "want one without (of those that learn, only PReLU can be trained here)"
            )


def _chunks(recipes, todo, data, device, workers, chunk):
    """Lists of members that are trained together."""
    def alike(member):  # equal rates side by side: the optimiser takes them as one
        return recipes[member].lr, recipes[member].weight_decay, member

    structures = {}
    for member in todo:
        structures.setdefault(recipes[member].structure, []).append(member)
    for structure, members in structures.items():
        most = chunk or _chunk_size(structure, data, device)
        if chunk is None and device.type == "cpu":
            most = min(most, -(-len(members) // workers))
        members.sort(key=alike)
        pieces = -(-len(members) // most)
        for part in np.array_split(members, pieces):
            yield part.tolist()


def _chunk_size(structure, data, device):
    sizes = Stack([structure], data.train.x.shape[1:], _outputs(data), True)
    item = sizes.dtype.itemsize
    rows = sum(layer.sizes.rows * (layer.sizes.fan_in + 1) for layer in sizes.layers)
    parameters = 4 * item * rows  # with the gradient and two moments
    if device.type == "cpu":
        return min(_MOST, max(1, _CACHE // parameters))
    columns = sum(
        layer.sizes.rows * np.prod(layer.sizes.out_shape[1:]) + layer.sizes.fan_in
        for layer in sizes.layers
    )
    batch = BLOCK + (structure.batch_size or len(data.train.x))
    free, _ = torch.cuda.mem_get_info(device)
    return max(1, int(free / 2 / (2 * parameters + 6 * item * columns * batch)))


def _tensors(data, part, dtype, device):
    """One split's x [n, ...] and targets [n, outputs] on the device."""
    x, y = getattr(data, part)
    kind = getattr(torch, dtype)
    if data.num_classes:  # a class is one 1 among zeros
        y = np.eye(data.num_classes)[y]
    return (torch.tensor(values, dtype=kind, device=device) for values in (x, y))


def _outputs(data):
    return data.num_classes or data.train.y.shape[1]


def _processors():
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _place(name):
    """Where a measured column stands: by split, then by kind and layer."""
    kind, _, layer = name.rpartition("_")
    kinds = ["train", "validation", "test", "dead", "exact", "grad_norm"]
    return kinds.index(kind), layer == "accuracy", int(layer) if layer.isdigit() else 0


def _module(recipe, state, data):
    """A member as a torch module of its own."""
    shape, outputs = data.train.x.shape[1:], _outputs(data)
    common = dict(dropout=recipe.dropout, prelu=recipe.prelu)
    with torch.random.fork_rng(devices=[]):  # the builders draw weights, for nothing
        if recipe.channels:
            module = builders.cnn(
                shape, recipe.channels, (*recipe.widths, outputs), recipe.activation,
                kernel_size=recipe.kernel_size, **common,
            )
        else:
            module = builders.mlp(
                (int(np.prod(shape)), *recipe.widths, outputs), recipe.activation,
                num_pieces=recipe.num_pieces, **common,
            )
    module.to(getattr(torch, recipe.dtype))
    with torch.no_grad():
        for parameter, values in zip(module.parameters(), state, strict=True):
            parameter.copy_(values.view(parameter.shape))
    return module.eval()
