r"""Many networks of one shape, trained side by side in a few large operations.

A member is one network with its training. The members of a `Stack` keep their numbers
in one tensor `[members, parameters]`, and every layer works on all of them at once. The
units come before the examples: a layer's values are `z [members, units, batch]` and its
weights `W [members, units, fan_in]`, as in `torch.nn.Linear`, so that

    z = W h + b,   dE/dW = (dE/dz) h^T,   dE/db = sum over the batch of dE/dz,
    dE/dh = W^T (dE/dz)

are each one batched product. (With the batch first, the output layer's ten columns
would cost a matrix library as much as a hundred.) These four are written out here; for
the activation itself automatic differentiation of its own torch module is asked, so
that what happens at a kink is what torch does there.

Chapter "Learning through the kink" introduces these equations.
"""

import itertools
import math

import numpy as np
import torch
import torch.nn.functional as F

from relubook import initialisation
BLOCK = 200  # examples at a time in an evaluation
# Bytes; see _product.
_LINE = 64 if "AVX512" in torch.backends.cpu.get_cpu_capability() else 32


class Stack:
    """Members of one structure: `recipes` that differ in nothing else.

    `in_shape` is the shape of an example, `[features]` or `[channels, ...]`, `outputs`
    the number of classes or targets. Targets are always `[..., outputs]`: classes come
    as one 1 among zeros.
    """

    def __init__(self, recipes, in_shape, outputs, is_classification, device="cpu"):
        self.recipes = list(recipes)
        self.shared = self.recipes[0].structure
        self.is_classification = is_classification
        self.device = torch.device(device)
        self.dtype = getattr(torch, self.shared.dtype)
        self.activation = None
        if not self.shared.is_maxout:
            self.activation = self.shared.activation_record.torch_module()
            self.activation.to(self.device, self.dtype)
        self.layers = []
        for number, sizes in enumerate(_layer_sizes(self.shared, in_shape, outputs)):
            is_output = number == self.shared.num_hidden
            layer = _Layer(sizes)
            for name, shape, start in (
                ("weight", (sizes.rows, sizes.fan_in), _first_weights),
                ("bias", (sizes.rows, 1), _first_biases),
                ("slope", (self._num_slopes(sizes), 1), self._first_slopes),
            ):
                if math.prod(shape) and not (name == "slope" and is_output):
                    values = [start(r, sizes, number, is_output) for r in self.recipes]
                    layer.parameters[name] = _Parameter(self._rows(values), shape)
            self.layers.append(layer)
        self.step_number = torch.zeros((), dtype=torch.int32, device=self.device)
        self._set_up()

    # One step of training ---------------------------------------------------------

    def step(self, x, y):
        """One minibatch for each member: x [members, batch, ...], targets y alike."""
        self.backward(self.forward(x, training=True), y)
        self.step_number += 1
        self.optimizer.step()

    @torch.no_grad()
    def forward(self, x, training=False):
        """The output [members, outputs, batch]; `self.places` keep what lies between."""
        self.places = self._places(x.shape[1])
        signal = torch.movedim(x, 1, 2)  # [members, channels, batch, ...]
        for number, (layer, place) in enumerate(zip(self.layers, self.places)):
            place.columns = _fitting(layer.columns(signal))
            _product(layer.weight, place.columns, plus=layer.bias, out=place.z)
            if layer is self.layers[-1]:
                return place.z
            value = self._activate(layer, place)
            if training and self.shared.dropout and not layer.sizes.kernel:
                place.keep = self._keep(value, number)
                value = value * place.keep
            signal = layer.signal(value, place.batch)

    @torch.no_grad()
    def backward(self, output, y):
        """Write the gradient of each member's mean loss over the batch of `forward`."""
        delta = _fitting(self._loss_gradient(output, y))
        for number in reversed(range(len(self.layers))):
            layer, place = self.layers[number], self.places[number]
            _product(delta, place.columns.mT, out=layer.weight_gradient)
            torch.sum(delta, 2, keepdim=True, out=layer.bias_gradient)
            if number:
                _product(layer.weight.mT, delta, out=place.delta)
                before, there = self.layers[number - 1], self.places[number - 1]
                delta = layer.signal_gradient(place.delta).flatten(2)
                if there.keep is not None:
                    delta = delta.mul_(there.keep)
                delta, *slope = there.activation_gradient(delta)
                delta = _fitting(delta)
                for gradient in slope:
                    before.slope_gradient.copy_(gradient)

    @torch.enable_grad()
    def _activate(self, layer, place):
        """The activation of `place.z`, and what its derivative will be asked of."""
        z, place.keep = place.z, None
        if self.shared.is_maxout or layer.slope is not None:
            z = z.detach().requires_grad_()
            place.inputs = [z]
            if self.shared.is_maxout:
                # As `layers.maxout`: consecutive pieces, the first of equals is taken.
                place.h = z.unflatten(1, (-1, self.shared.num_pieces)).max(dim=2).values
            else:
                # torch's PReLU has a slope for each entry of the second axis.
                place.inputs.append(layer.slope)
                slope = layer.slope.expand(*z.shape[:2], 1).flatten()
                place.h = F.prelu(z.reshape(1, -1, z.shape[2]), slope).view(z.shape)
            return place.h.detach()
        place.h = self.activation(place.lines)
        return place.h.detach().as_strided(z.shape, z.stride())

    def _places(self, batch):
        if batch not in self._places_by_batch:
            self._places_by_batch[batch] = [
                _Place(layer, batch, is_first=layer is self.layers[0])
                for layer in self.layers
            ]
        return self._places_by_batch[batch]

    def _loss_gradient(self, output, y):
        if self.is_classification:  # of the cross-entropy; below, of the mean square
            return torch.softmax(output, 1).sub_(y.mT).div_(output.shape[2])
        return (output - y.mT).mul_(2 / math.prod(output.shape[1:]))

    def _keep(self, value, number):
        """0 with the probability `dropout`, else 1 / (1 - dropout): as value.

        A function of the member's seed, the step, the layer and the place alone: a
        shared generator would make a member's draws depend on its neighbours.
        """
        key = _scrambled(self.keys[:, number, None, None] + self.step_number)
        place = torch.arange(value[0].numel(), dtype=torch.int32, device=self.device)
        random = _scrambled(place.view(value.shape[1:]) + key)
        threshold = round(self.shared.dropout * 2**32) - 2**31
        return (random >= threshold).to(value.dtype).div_(1 - self.shared.dropout)

    # What is reported -------------------------------------------------------------

    @torch.no_grad()
    def evaluate(self, x, y, look_inside=False):
        """Each member's mean loss and accuracy on examples x [n, ...], targets y [n, k].

        A dict of arrays [members]; for a regression without accuracy. With
        `look_inside` also, for each hidden layer l from 1 on, `dead_l`, the share of
        units whose derivative is exactly 0 on every example (pieces, for maxout, which
        are nowhere the largest), and `exact_zeros`, how many hidden pre-activations are
        exactly 0.
        """
        members = len(self.recipes)
        loss = torch.zeros(members, dtype=torch.float64, device=self.device)
        correct, zeros = loss.clone(), loss.clone()
        alive = [False] * self.shared.num_hidden
        all_alive = list(alive)
        for block in range(0, len(x), BLOCK):
            part, target = x[block : block + BLOCK], y[block : block + BLOCK].mT
            output = self.forward(part.expand(members, *part.shape))
            if self.is_classification:
                label = target.argmax(0).expand(members, 1, -1)
                losses = -torch.log_softmax(output, 1).gather(1, label).squeeze(1)
                correct += (output.argmax(1) == label[:, 0]).sum(1)
            else:
                losses = (output - target).square().mean(1)
            loss += losses.double().contiguous().sum(1)
            for number, place in enumerate(self.places[:-1] if look_inside else ()):
                if not all_alive[number]:
                    ones = torch.ones_like(place.z[:, : place.units])
                    slope = place.activation_gradient(ones)[0]
                    alive[number] |= slope.abs().amax(2) != 0
                    all_alive[number] = bool(alive[number].all())
                is_zero = place.z == 0
                if is_zero.any():  # counting them takes far longer than looking
                    zeros += is_zero.sum((1, 2))
        found = {"loss": loss / len(x)}
        if self.is_classification:
            found["accuracy"] = correct / len(x)
        if look_inside:
            for number, units in enumerate(alive, 1):
                found[f"dead_{number}"] = 1 - units.double().mean(1)
            found["exact_zeros"] = zeros
        return {name: value.cpu().numpy() for name, value in found.items()}

    @torch.no_grad()
    def gradient_norms(self, x, y):
        """The norm of the gradient of each layer's weights on examples x [n, ...].

        A dict of arrays [members], `grad_norm_l` for the layers l from 1 on, the output
        layer last. Dropout is off.
        """
        members = len(self.recipes)
        x, y = (values.expand(members, *values.shape) for values in (x, y))
        self.backward(self.forward(x), y)
        return {
            f"grad_norm_{number}": layer.weight_gradient.double()
            .flatten(1).norm(dim=1).cpu().numpy()
            for number, layer in enumerate(self.layers, 1)
        }

    def finite(self):
        """Which members' parameters are all finite: bool [members]."""
        finite = [p.rows.isfinite().all(1) for p in self._parameters()]
        return torch.stack(finite).all(0).cpu().numpy()

    def keep(self, rows):
        """Go on with these members only; the others cost no more time."""
        rows = torch.as_tensor(rows, device=self.device)
        state = self._optimizer_rows()
        self.recipes = [self.recipes[row] for row in rows]
        for parameter in self._parameters():
            parameter.take(rows)
        self._set_up()
        for group in self.optimizer.param_groups:
            for values, parameter in zip(group["params"], group["of"]):
                self.optimizer.state[values] = {
                    key: old[rows][group["members"]] if old.ndim else old.clone()
                    for key, old in state[parameter].items()
                }

    def moving_tensors(self):
        """Everything that a step changes and the next one reads."""
        state = [
            value for group in self.optimizer.param_groups
            for values in group["params"]
            for value in self.optimizer.state[values].values() if value is not None
        ]
        return [self.step_number, *(p.rows for p in self._parameters()), *state]

    def state(self, member):
        """A member's tensors, flat, in the order of its torch module's parameters."""
        values = [parameter.values[member] for parameter in self._parameters()]
        return [value.detach().flatten().cpu().clone() for value in values]

    def set_epoch(self, epoch):
        """The learning rates of an epoch, counted from 0."""
        for group in self.optimizer.param_groups:
            rate = group["initial_lr"] * self.shared.factor(epoch)
            if isinstance(group["lr"], torch.Tensor):  # a recorded graph reads it
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    # Parameters and their optimiser ------------------------------------------------

    def _parameters(self):
        return [p for layer in self.layers for p in layer.parameters.values()]

    def _rows(self, values):
        rows = torch.as_tensor(np.stack(values)).to(self.device, self.dtype)
        return F.pad(rows, (0, _padded(rows.shape[1], rows) - rows.shape[1]))

    def _num_slopes(self, sizes):
        if not isinstance(self.activation, torch.nn.PReLU):
            return 0
        return sizes.units if self.shared.prelu == "unit" else 1

    def _first_slopes(self, recipe, sizes, number, is_output):
        return np.full(self._num_slopes(sizes), self.activation.weight[0].item())

    def _set_up(self):
        """torch's own optimiser; members with equal rates, side by side, are one tensor.
        """
        keys = [_dropout_keys(recipe) for recipe in self.recipes]
        self.keys = torch.as_tensor(np.stack(keys)).to(self.device)
        for layer in self.layers:
            layer.bind()
        self._places_by_batch = {}
        groups, start = [], 0
        rates = [(recipe.lr, recipe.weight_decay) for recipe in self.recipes]
        for (lr, decay), run in itertools.groupby(rates):
            members = slice(start, start + len(list(run)))
            start = members.stop
            for is_slope in (False, True):
                of = [
                    parameter for layer in self.layers
                    for name, parameter in layer.parameters.items()
                    if (name == "slope") == is_slope
                ]
                if of:
                    kept = self.shared.decay_slopes or not is_slope
                    groups.append({
                        "params": [parameter.part(members) for parameter in of],
                        "of": of, "members": members, "initial_lr": lr,
                        "lr": lr, "weight_decay": decay if kept else 0.0,
                    })
        options = {"fused": True}
        if self.device.type == "cuda":  # a recorded graph reads the rate from a tensor
            for group in groups:
                group["lr"] = torch.tensor(group["lr"], device=self.device)
        if self.shared.optimizer == "sgd":
            self.optimizer = torch.optim.SGD(
                groups, momentum=self.shared.momentum, **options
            )
        else:
            options["capturable"] = self.device.type == "cuda"
            self.optimizer = torch.optim.Adam(groups, betas=self.shared.betas, **options)

    def _optimizer_rows(self):
        """The optimiser's state of each parameter, for all members again."""
        found = {parameter: {} for parameter in self._parameters()}
        for group in self.optimizer.param_groups:
            for values, parameter in zip(group["params"], group["of"]):
                for key, value in self.optimizer.state[values].items():
                    if value is not None:
                        found[parameter].setdefault(key, []).append(value)
        return {
            parameter: {
                key: torch.cat(parts) if parts[0].ndim else parts[0]
                for key, parts in state.items()
            }
            for parameter, state in found.items()
        }


class _Parameter:
    """One tensor of every member, and its gradient.

    `rows [members, ...]` holds them in memory, each padded to whole cache lines;
    `values [members, *shape]` is the same without the padding.
    """

    def __init__(self, rows, shape):
        self.rows, self.shape = rows, shape
        self.gradient_rows = torch.zeros_like(rows)

    @property
    def values(self):
        return self.rows[:, : math.prod(self.shape)].unflatten(1, self.shape)

    @property
    def gradient(self):
        return self.gradient_rows[:, : math.prod(self.shape)].unflatten(1, self.shape)

    def part(self, members):
        """Some members' rows as the leaf that an optimiser steps."""
        leaf = self.rows[members].requires_grad_()
        leaf.grad = self.gradient_rows[members]
        return leaf

    def take(self, rows):
        self.rows, self.gradient_rows = self.rows[rows], self.gradient_rows[rows]


class _Layer:
    """Views of one layer's numbers, and how signals become columns and back.

    A signal is `[members, channels, batch, ...]`, with axes for the positions of a
    sequence or an image if there are any. A dense layer sees each example as one
    column; a convolution sees a column for each position of each example, which holds
    the window that the kernel covers there.
    """

    def __init__(self, sizes):
        self.sizes, self.parameters = sizes, {}
        self.slope = None

    def bind(self):
        """Name the parameters' values and gradients once; a step needs them often."""
        for name, parameter in self.parameters.items():
            setattr(self, name, parameter.values)
            setattr(self, name + "_gradient", parameter.gradient)
        if self.slope is not None:
            self.slope.requires_grad_()

    def columns(self, signal):
        if self.sizes.kernel:
            return _windows(signal, self.sizes)
        if signal.ndim == 3:
            return signal
        return torch.movedim(signal, 2, -1).flatten(1, -2)

    def signal(self, value, batch):
        """The columns of an activation [members, units, columns] as a signal."""
        if not self.sizes.kernel:
            return value
        return value.unflatten(2, (batch, *self.sizes.out_shape[1:]))

    def signal_gradient(self, delta):
        """The gradient of `columns(signal)` as that of the signal."""
        if self.sizes.kernel:
            return _add_windows(delta, self.sizes)
        if len(self.sizes.in_shape) == 1:
            return delta
        return torch.movedim(delta.unflatten(1, self.sizes.in_shape), -1, 2)


class _Place:
    """A layer's values for one size of batch: room made once, written at every step.

    `columns` go in, `z` is the pre-activation, `h` the activation, computed from
    `inputs`, `keep` what dropout multiplied it with, `delta` dE/dcolumns.

    An elementwise activation is applied to the memory of z as a whole, `lines`, gaps
    included: torch's vector kernels leave the last few numbers of a tensor to scalar
    code, which may round in another way, and these must not be some member's.
    """

    def __init__(self, layer, batch, is_first):
        sizes, weight = layer.sizes, layer.weight
        self.batch, self.units = batch, sizes.units
        columns = batch * math.prod(sizes.out_shape[1:])
        self.z = _empty((len(weight), sizes.rows, columns), weight)
        self.lines = _lines(self.z).detach().requires_grad_()
        self.inputs, self.h, self.keep, self.columns = [self.lines], None, None, None
        if not is_first:
            self.delta = _empty((len(weight), sizes.fan_in, columns), weight)

    def activation_gradient(self, delta):
        """dE/dz from dE/dh, and dE/dslope if there is one."""
        if self.inputs[0] is not self.lines:
            return torch.autograd.grad(self.h, self.inputs, delta)
        if not _is_laid_out(delta):
            delta = _empty(delta.shape, delta).copy_(delta)
        gradient, = torch.autograd.grad(self.h, self.inputs, _lines(delta))
        return [gradient.as_strided(self.z.shape, self.z.stride())]


class _Sizes:
    """The sizes of one layer."""

    def __init__(self, in_shape, units, pieces=1, kernel=()):
        self.in_shape, self.units, self.kernel = tuple(in_shape), units, kernel
        self.pieces, self.rows = pieces, units * pieces
        self.fan_in = math.prod(in_shape)
        self.out_shape = (units,)
        if kernel:
            self.fan_in = in_shape[0] * math.prod(kernel)
            self.out_shape += tuple((size + 1) // 2 for size in in_shape[1:])

    @property
    def fan_out(self):
        return self.units * math.prod(self.kernel)


def _layer_sizes(recipe, in_shape, outputs):
    layers, shape = [], tuple(in_shape)
    for channels in recipe.channels:
        kernel = (recipe.kernel_size,) * (len(shape) - 1)
        layers.append(_Sizes(shape, channels, kernel=kernel))
        shape = layers[-1].out_shape
    pieces = recipe.num_pieces if recipe.is_maxout else 1
    for width in recipe.widths:
        layers.append(_Sizes(shape, width, pieces))
        shape = layers[-1].out_shape
    return [*layers, _Sizes(shape, outputs)]


def _first_weights(recipe, sizes, number, is_output):
    std = initialisation.weight_std(
        recipe.initialisation,
        sizes.fan_in,
        sizes.fan_out,
        gain=1.0 if is_output else _gain(recipe),
    )
    draws = [
        initialisation.draw(recipe.seed, number, piece, sizes.fan_in, sizes.units).T
        for piece in range(sizes.pieces)
    ]
    return std * np.stack(draws, axis=1).ravel()  # [units, pieces, fan_in]


def _first_biases(recipe, sizes, number, is_output):
    return np.full(sizes.rows, 0.0 if is_output else recipe.bias)


def _gain(recipe):
    if recipe.gain is not None:
        return recipe.gain
    if recipe.initialisation != "he":
        return 1.0
    if recipe.is_maxout:
        moment = initialisation.maxout_second_moment(recipe.num_pieces)
        return math.sqrt(1 / moment)
    return initialisation.gain(recipe.activation_record)


def _windows(signal, sizes):
    """[members, channels, batch, ...] -> [members, channels * kernel, batch * places]."""
    padded = F.pad(signal, [sizes.kernel[0] // 2] * 2 * len(sizes.kernel))
    members, channels, batch = signal.shape[:3]
    places = sizes.out_shape[1:]
    out = signal.new_empty(members, channels, math.prod(sizes.kernel), batch, *places)
    for tap, offset in enumerate(np.ndindex(*sizes.kernel)):
        out[:, :, tap] = padded[_every_second(offset, places)]
    return out.flatten(3).flatten(1, 2)


def _add_windows(columns, sizes):
    """The transpose of `_windows`: what each value gave to its windows, added up."""
    places, margin = sizes.out_shape[1:], sizes.kernel[0] // 2
    channels, *sides = sizes.in_shape
    columns = columns.unflatten(1, (channels, -1)).unflatten(3, (-1, *places))
    batch = columns.shape[3]
    padded = columns.new_zeros(
        len(columns), channels, batch, *(side + 2 * margin for side in sides)
    )
    for tap, offset in enumerate(np.ndindex(*sizes.kernel)):
        padded[_every_second(offset, places)] += columns[:, :, tap]
    inside = tuple(slice(margin, margin + side) for side in sides)
    return padded[(..., *inside)]


def _every_second(offset, places):
    return (..., *(slice(o, o + 2 * n - 1, 2) for o, n in zip(offset, places)))


def _product(first, second, out, plus=None):
    """Write the members' matrix products, plus a column each if there is one.

    A matrix library may add in another order where an address or the number of members
    is another. So every member starts on a cache line; and where that leaves gaps, or a
    product is a single row or column, for which torch would take another way for several
    members than for one, each goes alone.
    """
    if not (_has_gaps(out) or 1 in out.shape[1:]):
        if plus is None:
            torch.bmm(first, second, out=out)
        else:
            torch.baddbmm(plus, first, second, out=out)
        return
    for member in range(len(out)):
        if plus is None:
            torch.mm(first[member], second[member], out=out[member])
        else:
            torch.addmm(plus[member], first[member], second[member], out=out[member])


def _fitting(tensor):
    """The same, or a copy each of whose members starts on a cache line."""
    return _empty(tensor.shape, tensor).copy_(tensor) if _has_gaps(tensor) else tensor


def _has_gaps(tensor):
    """Whether members of this shape need gaps between them; not whether they have."""
    size = tensor.shape[1] * tensor.shape[2]
    return size != _padded(size, tensor)


def _empty(shape, like):
    """A tensor whose members each start on a cache line, not filled but for the gaps.

    At its end there is room for what vector code does in one stride, two vectors.
    """
    members, *rest = shape
    size = math.prod(rest)
    row, total = _room(shape, like)
    lines = (like.new_empty if row == size else like.new_zeros)(total)
    return lines[: members * row].view(members, row)[:, :size].view(shape)


def _room(shape, like):
    """How many numbers a member takes up, and how many all of them."""
    row = _padded(math.prod(shape[1:]), like)
    return row, _padded(shape[0] * row, like, 2 * _LINE)


def _is_laid_out(tensor):
    row, total = _room(tensor.shape, tensor)
    strides = [row, *(math.prod(tensor.shape[i:]) for i in range(2, tensor.ndim + 1))]
    return (
        list(tensor.stride()) == strides
        and tensor.storage_offset() == 0
        and tensor.untyped_storage().nbytes() == total * tensor.itemsize
    )


def _lines(tensor):
    """The memory of a tensor that is laid out so, as one axis."""
    _, total = _room(tensor.shape, tensor)
    return tensor.as_strided((total,), (1,))


def _padded(size, like, to=_LINE):
    """The least whole number of lines that hold so many numbers; a GPU needs none."""
    if like.device.type != "cpu":
        return size
    line = to // like.dtype.itemsize
    return -(-size // line) * line


def _dropout_keys(recipe):
    """The keys of a member's dropout, int32 [hidden layers]."""
    # The fourth word tells these draws from those of the weights and the minibatches.
    sequence = np.random.SeedSequence((recipe.seed, 0, 0, 2))
    return sequence.generate_state(max(1, recipe.num_hidden)).view(np.int32)


def _scrambled(bits):
    """MurmurHash3's final mix: a one-to-one map of int32 that looks random."""
    for shift, factor in ((16, -2048144789), (13, -1028477387)):
        bits = (bits ^ ((bits >> shift) & ((1 << (32 - shift)) - 1))) * factor
    return bits ^ ((bits >> 16) & 0xFFFF)
