"""Fixtures that several files of tests use."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from relubook import datasets
from relubook.experiments import common
from relubook.grading import assignments


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


@pytest.fixture(scope="session")
def assignment_root(tmp_path_factory):
    """A book whose only assignment is `tiny`."""
    root = tmp_path_factory.mktemp("book")
    shutil.copytree(Path(__file__).parent / "data" / "assignments", root / "assignments")
    return root


@pytest.fixture(scope="session")
def tiny(assignment_root):
    """The assignment `tiny`, built with a secret: slope 1/5, shift 2."""
    return assignments.build(
        "tiny", term="#2", secret="what the tests draw from", root=assignment_root
    )
