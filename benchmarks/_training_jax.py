"""The fastest form we know of the benchmark's job in JAX.

One compiled program: members sharded over the cores, on each core one after the other
(`lax.map`; faster than `vmap`), each a `scan` over its steps; the activation is chosen
by `lax.switch`, so that all of them share one compilation.
"""

import multiprocessing

import jax
import jax.numpy as jnp
import numpy as np

from relubook.initialisation import draw, gain, weight_std

jax.config.update("jax_num_cpu_devices", multiprocessing.cpu_count())

FUNCTIONS = {
    "relu": lambda z, a: jax.nn.relu(z),
    "leaky_relu": lambda z, a: jax.nn.leaky_relu(z, 0.01),
    "prelu": lambda z, a: jnp.where(z > 0, z, a * z),
    "absolute_value": lambda z, a: jnp.abs(z),
    "softplus": lambda z, a: jax.nn.softplus(z),
    "elu": lambda z, a: jax.nn.elu(z),
    "tanh": lambda z, a: jnp.tanh(z),
    "sigmoid": lambda z, a: jax.nn.sigmoid(z),
    "gelu": lambda z, a: jax.nn.gelu(z, approximate=False),
    "silu": lambda z, a: jax.nn.silu(z),
}


def job(data, recipes, widths, steps, batch):
    """Train; returns the number of members and their mean test accuracy."""
    cores = jax.device_count()
    # Neighbours go to different cores: activations do not cost the same.
    recipes = [r for core in range(cores) for r in recipes[core::cores]]
    parameters = jax.tree.map(
        lambda *leaves: np.stack(leaves), *(_start(recipe, widths) for recipe in recipes)
    )
    which = np.array([list(FUNCTIONS).index(r.activation) for r in recipes], "i4")
    rates = np.array([recipe.lr for recipe in recipes], "f4")
    orders = np.stack([_order(len(data.train.x), steps, batch, r.seed) for r in recipes])
    x, x_test = (jnp.array(a.reshape(len(a), -1)) for a in (data.train.x, data.test.x))
    y, y_test = (jnp.array(a, "i4") for a in (data.train.y, data.test.y))

    mesh = jax.make_mesh((cores,), ("m",), axis_types=(jax.sharding.AxisType.Auto,))
    members = jax.sharding.PartitionSpec("m")

    def some(*cells):
        return jax.lax.map(
            lambda cell: _train_one(*cell, x, y, x_test, y_test), cells
        )

    run = jax.jit(jax.shard_map(
        some, mesh=mesh, in_specs=(members,) * 4, out_specs=members, check_vma=False
    ))
    return len(recipes), float(np.mean(run(parameters, which, rates, orders)))


def _start(recipe, widths):
    layers = []
    for number, (fan_in, units) in enumerate(zip(widths, widths[1:])):
        is_output = number == len(widths) - 2
        scale = 1.0 if is_output else gain(recipe.activation)
        std = weight_std("he", fan_in, gain=scale)
        weights = std * draw(recipe.seed, number, 0, fan_in, units)
        slope = np.float32(0.25)
        layers.append((weights.astype("f4"), np.zeros(units, "f4"), slope))
    return layers


def _order(count, steps, batch, seed):
    rng = np.random.default_rng((seed, 0, 0, 1))
    epochs = -(-steps * batch // count)
    order = np.concatenate([rng.permutation(count) for _ in range(epochs)])
    return order[: steps * batch].reshape(steps, batch).astype("i4")


def _forward(parameters, x, which):
    h = x
    for weights, bias, slope in parameters[:-1]:
        h = jax.lax.switch(which, list(FUNCTIONS.values()), h @ weights + bias, slope)
    weights, bias, _ = parameters[-1]
    return h @ weights + bias


def _loss(parameters, x, y, which):
    log_p = jax.nn.log_softmax(_forward(parameters, x, which))
    return -jnp.take_along_axis(log_p, y[:, None], 1).mean()


def _train_one(parameters, which, rate, order, x, y, x_test, y_test):
    zeros = jax.tree.map(jnp.zeros_like, parameters)

    def step(state, places):
        p, m, v, t = state
        t = t + 1
        g = jax.grad(_loss)(p, x[places], y[places], which)
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        first, second = 1 / (1 - 0.9**t), 1 / (1 - 0.999**t)
        p = jax.tree.map(
            lambda p, m, v: p - rate * first * m / (jnp.sqrt(second * v) + 1e-8), p, m, v
        )
        return (p, m, v, t), None

    (p, *_), _ = jax.lax.scan(step, (parameters, zeros, zeros, 0.0), order)
    return (_forward(p, x_test, which).argmax(-1) == y_test).mean()
