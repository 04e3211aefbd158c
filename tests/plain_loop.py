"""The oracle of the training tests: one network, one loop, nothing shared.

Written with torch's modules, losses and optimisers alone, as a tutorial would.
"""

import numpy as np
import torch
import torch.nn.functional as F

from relubook import networks
from relubook.initialisation import initialise_


def build(recipe, data):
    """The recipe's network with its first weights."""
    shape = data.train.x.shape[1:]
    outputs = data.num_classes or data.train.y.shape[1]
    common = dict(dropout=recipe.dropout, prelu=recipe.prelu)
    if recipe.channels:
        network = networks.cnn(
            shape, recipe.channels, (*recipe.widths, outputs), recipe.activation,
            kernel_size=recipe.kernel_size, **common,
        )
    else:
        network = networks.mlp(
            (int(np.prod(shape)), *recipe.widths, outputs), recipe.activation,
            num_pieces=recipe.num_pieces, **common,
        )
    network.to(getattr(torch, recipe.dtype))
    gain = recipe.gain
    if gain is None and recipe.initialisation == "he":
        gain = recipe.activation
    return initialise_(
        network, recipe.initialisation, gain=gain, bias=recipe.bias, seed=recipe.seed
    )


def losses(network, data, part, dtype):
    x, y = getattr(data, part)
    x = torch.tensor(x, dtype=dtype)
    if data.num_classes:
        return F.cross_entropy(network(x), torch.tensor(y))
    return F.mse_loss(network(x), torch.tensor(y, dtype=dtype))


def train_alone(recipe, data, steps=None):
    """The trained network, and the loss on the training set after each epoch."""
    torch.set_num_threads(1)
    network, dtype = build(recipe, data), getattr(torch, recipe.dtype)
    x, y = torch.tensor(data.train.x, dtype=dtype), torch.tensor(data.train.y)
    slopes = [p for m in network if isinstance(m, torch.nn.PReLU) for p in m.parameters()]
    others = [p for p in network.parameters() if not any(p is s for s in slopes)]
    decay = recipe.weight_decay
    groups = [
        {"params": others, "weight_decay": decay},
        {"params": slopes, "weight_decay": decay if recipe.decay_slopes else 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if recipe.optimizer == "sgd":
        optimizer = torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum)
    else:
        optimizer = torch.optim.Adam(groups, lr=recipe.lr, betas=recipe.betas)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, recipe.factor)
    shuffle = np.random.default_rng((recipe.seed, 0, 0, 1))
    size, history, done = recipe.batch_size or len(x), [], 0
    for _ in range(recipe.num_epochs):
        order = shuffle.permutation(len(x))
        for start in range(0, len(x) - size + 1, size):
            batch = torch.from_numpy(order[start : start + size])
            optimizer.zero_grad()
            output = network(x[batch])
            if data.num_classes:
                loss = F.cross_entropy(output, y[batch])
            else:
                loss = F.mse_loss(output, y[batch].to(dtype))
            loss.backward()
            optimizer.step()
            done += 1
            if done == steps:
                return network, history
        schedule.step()
        with torch.no_grad():
            history.append(losses(network, data, "train", dtype).item())
    return network, history
