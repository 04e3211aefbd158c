"""What `train` keeps in a folder, so that a killed run goes on where it was."""

import contextlib
import hashlib
import json
import os
import pickle
import tempfile
import warnings
import zipfile
from dataclasses import asdict, replace
from pathlib import Path

import sympy as sp
import torch

import relubook.initialisation
import relubook.layers


class Checkpoint:
    """Finished members by recipe; a folder with a file for each chunk, or None for none.

    A file is written under another name first, so that there is never half of one under
    its own. All files of a folder are of one run: its data, its code, its versions.

    Raises `ValueError` for a folder with anything else in it, `OSError` (named) where
    the folder cannot be read or written; what it held is left as it was.
    """

    def __init__(self, folder, data, device, every, networks):
        self.folder = None if folder is None else Path(folder)
        self.run = {
            "data": _data_hash(data), "code": _code_hash(), "torch": str(torch.__version__),
            "device": device.type, "every": every, "networks": networks,
        }
        self.members = {}
        if self.folder is None:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise ValueError(f"checkpoint={folder!r} is a file, want a folder") from None
        for path in sorted(self.folder.glob("*.members")):
            self.members |= self._read(path)

    def __contains__(self, recipe):
        return _key(recipe) in self.members

    def __getitem__(self, recipe):
        return self.members[_key(recipe)]

    def save(self, trained):
        """Keep finished members, a dict of recipes to `Trained`."""
        if self.folder is None or not trained:
            return
        members = {_key(recipe): value for recipe, value in trained.items()}
        content = {
            "run": self.run,
            "members": {key: vars(value) for key, value in members.items()},
        }
        name = hashlib.sha256(" ".join(sorted(members)).encode()).hexdigest()[:16]
        temporary = None
        try:
            with tempfile.NamedTemporaryFile(
                dir=self.folder, suffix=".part", delete=False
            ) as file:
                temporary = file.name
                torch.save(content, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.folder / f"{name}.members")
        except (OSError, RuntimeError) as error:  # torch's writer raises the latter
            if temporary is not None:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
            raise OSError(
                f"checkpoint={str(self.folder)!r}: {len(members)} finished members could "
                f"not be saved ({error}); those saved before are intact, and the same "
                "call goes on from them"
            ) from error

    def _read(self, path):
        from relubook.training.runner import Trained

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a foreign file's pickle protocol
                content = torch.load(path, weights_only=True)
            run, members = content["run"], content["members"]
            members = {key: Trained(**value) for key, value in members.items()}
        except (
            EOFError, KeyError, RuntimeError, TypeError, ValueError,
            pickle.UnpicklingError, zipfile.BadZipFile,
        ) as error:
            raise ValueError(
                f"checkpoint: {path} is no checkpoint of relubook, or half of one "
                f"({type(error).__name__}); delete it to train its members anew"
            ) from error
        different = sorted(key for key in self.run if run.get(key) != self.run[key])
        if different:
            raise ValueError(
                f"checkpoint: {path} is of another run, which differs in "
                f"{', '.join(different)}; name another folder, or delete this one to "
                "train anew"
            )
        return members


def _key(recipe):
    """A text that two recipes share exactly if they ask for the same training."""
    record = recipe.activation_record
    fields = asdict(replace(recipe, activation="relu"))
    fields["activation"] = "maxout"
    if record is not None:
        fields["activation"] = [record.name, sp.srepr(record.formula), _name(record.module)]
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def _name(module):
    if isinstance(module, str):
        return module
    return f"{module.__module__}.{getattr(module, '__qualname__', repr(module))}"


def _data_hash(data):
    digest = hashlib.sha256(repr(data.num_classes).encode())
    for part in (data.train, data.validation, data.test):
        for array in part or ():
            digest.update(f"{array.shape}{array.dtype}".encode())
            digest.update(array.tobytes())
    return digest.hexdigest()


def _code_hash():
    """Of everything that decides a member's numbers."""
    here = Path(__file__).parent
    others = (relubook.initialisation, relubook.layers)
    paths = [here / "engine.py", here / "runner.py", *(Path(m.__file__) for m in others)]
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()
