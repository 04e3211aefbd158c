"""Checks of arguments that several modules share."""

from numbers import Integral

import numpy as np

from relubook.activations import CATALOGUE, Activation


def activation_record(activation):
    """The `Activation`, also for a name of the catalogue."""
    if isinstance(activation, str):
        return CATALOGUE[activation]
    if not isinstance(activation, Activation):
        raise TypeError(
            f"activation is {activation!r}, want an Activation or a name of the"
            " catalogue"
        )
    return activation


def network(weights, biases, only_finite=False):
    """Lists of weight and bias arrays whose shapes chain, or an error."""
    for name, layers in (("weights", weights), ("biases", biases)):
        if not np.iterable(layers):
            raise TypeError(f"{name} is {layers!r}, want a list of one array a layer")
    check = finite if only_finite else real
    weights = [check(f"weights[{i}]", weight) for i, weight in enumerate(weights)]
    biases = [check(f"biases[{i}]", bias) for i, bias in enumerate(biases)]
    if not weights or len(weights) != len(biases):
        raise ValueError(
            f"weights has {len(weights)} layers and biases has {len(biases)},"
            " want the same number, at least 1"
        )
    for i, (weight, bias) in enumerate(zip(weights, biases)):
        if weight.ndim != 2:
            raise ValueError(
                f"weights[{i}] has shape {weight.shape}, want (fan_out, fan_in)"
            )
        if bias.shape != weight.shape[:1]:
            raise ValueError(
                f"biases[{i}] has shape {bias.shape}, want {weight.shape[:1]} for"
                f" weights[{i}] of shape {weight.shape}"
            )
        if i and weight.shape[1] != len(biases[i - 1]):
            raise ValueError(
                f"weights[{i}] has shape {weight.shape}, want (fan_out,"
                f" {len(biases[i - 1])}) after weights[{i - 1}] of shape"
                f" {weights[i - 1].shape}"
            )
    return weights, biases


def positive_integers(name, values):
    if not np.iterable(values):
        raise TypeError(f"{name}={values!r}, want a sequence of positive integers")
    for value in values:
        if not is_positive_integer(value):
            raise ValueError(f"{name} contains {value!r}, want positive integers")
    return [int(value) for value in values]


def positive_integer(name, value):
    if not is_positive_integer(value):
        raise ValueError(f"{name}={value!r}, want a positive integer")
    return int(value)


def is_positive_integer(value):
    integral = isinstance(value, Integral) and not isinstance(value, bool)
    return integral and value >= 1


def finite(name, values):
    array = real(name, values).astype(float)
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        index = tuple(bad[0].tolist())
        raise ValueError(f"{name}{list(index)} is {array[index]}, want finite numbers")
    return array


def real(name, values):
    """A floating array of values, integers as float64."""
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{name} is ragged, want an array of numbers") from error
    if array.dtype.kind in "biu":
        return array.astype(float)
    if array.dtype.kind != "f":
        raise TypeError(f"{name} has dtype {array.dtype}, want real numbers")
    return array
