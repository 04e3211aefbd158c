"""Fixtures that several files of tests use."""

from dataclasses import replace

import pytest

from relubook import datasets
from relubook.experiments import common


@pytest.fixture
def few_examples(monkeypatch):
    """Experiments train on 40 digits, as images or, for MNIST-1D, as signals of 64."""
    data = datasets.digits()
    few = datasets.Split(data.train.x[:40], data.train.y[:40])
    images = replace(data, train=few, validation=few, test=None)
    few = datasets.Split(few.x.reshape(40, 1, 64), few.y)
    signals = replace(images, train=few, validation=few)
    small = {"digits": images, "mnist1d": signals}
    monkeypatch.setattr(common, "training_data", small.get)
    return small
