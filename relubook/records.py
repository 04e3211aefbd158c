"""Recorded runs: the tables of `results/`, each with how it came about.

`results/NAME.csv` holds the rows of the experiment NAME at full size, and
`results/NAME.json` its provenance: device, versions, date, commit, seeds, command,
times, and the checksum of the CSV. `python -m tools.record NAME` writes both; nothing
that fails the checks here is read.
"""

import difflib
import hashlib
import io
import json
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pandas as pd

SCHEMA = 1


class RecordError(ValueError):
    """A record that is missing, broken or could not be made; says how to mend it."""


@dataclass(frozen=True, eq=False, repr=False)
class Record:
    """A recorded run: the rows (`data`) and how they came about (`provenance`).

    `provenance` is what the JSON file says, a dict.
    """

    data: pd.DataFrame
    provenance: dict

    @property
    def name(self) -> str:
        """The experiment."""
        return self.provenance["experiment"]

    @property
    def seeds(self) -> tuple[int, ...]:
        """Every seed that ran, in order."""
        return tuple(self.provenance["seeds"])

    @property
    def seconds(self) -> float:
        """How long it ran, all pieces together."""
        return sum(piece["seconds"] for piece in self.provenance["pieces"])

    @property
    def label(self) -> str:
        """Where, when and how large: what stands beside the numbers on a page."""
        device = self.provenance["device"]
        where = f"GPU ({device['name']})"
        if device["kind"] == "cpu":
            where = f"CPU ({device['name']}, {_count(device['cores'], 'core')})"
        date = datetime.strptime(self.provenance["date"], _DATE)
        size = _count(len(self.seeds), "seed")
        return f"recorded on {where}, {date.day} {date:%B %Y}, {size}"

    def __repr__(self):
        return f"{self.name}: {len(self.data)} rows, {self.label}"


def load(name) -> Record:
    """Read the record of an experiment, from the checkout or the installed package.

    Raises RecordError for a name that has no record, and for one that fails the checks
    of `read`; TypeError for a name that is no string.

    >>> record = load("born_dead")
    >>> list(record.data.columns)
    ['hidden_layers', 'seed', 'networks', 'dead']
    >>> record.label[:15]
    'recorded on CPU'
    """
    if not isinstance(name, str):
        raise TypeError(f"name={name!r} must be a string")
    if name not in names():
        raise RecordError(_unknown(name))
    record = read(folder() / f"{name}.csv", folder() / f"{name}.json")
    if record.name != name:
        raise RecordError(
            f"{name}.json is the record of the experiment {record.name!r}; "
            + _mend(name)
        )
    return record


def names() -> list[str]:
    """The experiments that have a record, complete or not.

    >>> "born_dead" in names()
    True
    """
    files = [*folder().glob("*.csv"), *folder().glob("*.json")]
    return sorted({path.stem for path in files})


def folder() -> Path:
    """Where the records are: `results/` of a checkout, or inside the package."""
    here = Path(__file__)
    installed = here.with_name("results")
    return installed if installed.exists() else here.parents[1] / "results"


def read(csv_path, json_path) -> Record:
    """Read and validate one record from its two files.

    Raises RecordError, naming the file, what came, what was wanted and how to mend it:
    for a file that is missing or half-written, a field that is missing, unknown or
    malformed, a checksum that does not match, rows that are not the seeds' or not
    equally many for each, a GPU's label on a CPU's run.
    """
    csv_path, json_path = Path(csv_path), Path(json_path)
    provenance = _provenance(json_path)
    text = _text(csv_path)
    if sha256(text) != provenance["sha256"]:
        raise RecordError(
            f"{csv_path.name} is not the table that {json_path.name} was written for: "
            f"their checksums differ; {_mend(json_path.stem)}"
        )
    data = parse(text)
    wrong = table_fault(data, provenance["columns"], provenance["seeds"])
    if not wrong and len(data) != provenance["rows"]:
        wrong = f"it has {len(data)} rows, not {provenance['rows']}"
    if wrong:
        raise RecordError(f"{csv_path.name}: {wrong}; {_mend(json_path.stem)}")
    return Record(data, provenance)


def parse(text) -> pd.DataFrame:
    """The table that `render` wrote; floats to the last bit from pandas 3.1 on.

    >>> parse(render(pd.DataFrame({"seed": [0, 1], "loss": [0.1, float("nan")]})))
       seed  loss
    0     0   0.1
    1     1   NaN
    """
    # Only what `render` writes for NaN is NaN: an activation may be called "null".
    return pd.read_csv(io.StringIO(text), keep_default_na=False, na_values=["nan"])


def render(data) -> str:
    """A table as CSV, as `parse` reads it."""
    return data.to_csv(index=False, na_rep="nan", lineterminator="\n")


def sha256(text) -> str:
    """The checksum of a CSV's text (not of its bytes: git may change line ends)."""
    return hashlib.sha256(text.encode()).hexdigest()


def table_fault(data, columns, seeds) -> str:
    """What is wrong with an experiment's table, or an empty string.

    >>> table_fault(pd.DataFrame({"seed": [0, 0, 1], "loss": 0.5}),
    ...             ["seed", "loss"], [0, 1])
    'seed 0 has 2 rows and seed 1 has 1, but a condition runs with every seed'
    """
    if list(data.columns) != list(columns):
        return f"its columns are {list(data.columns)}, not {list(columns)}"
    rows = data["seed"].value_counts(sort=False, dropna=False)
    if missing := sorted(set(seeds) - set(rows.index)):
        return f"it has no rows for the seeds {_listed(missing)}"
    if foreign := sorted(set(rows.index) - set(seeds), key=str):
        return f"it has rows for the seeds {_listed(foreign)}, which were not to run"
    most, fewest = rows.idxmax(), rows.idxmin()
    if rows[most] != rows[fewest]:
        return (
            f"seed {most} has {rows[most]} rows and seed {fewest} has {rows[fewest]}, "
            "but a condition runs with every seed"
        )
    return ""


def closest(name, known) -> str:
    """Advice for a name that is not among the `known` ones.

    >>> closest("born_daed", ["born_dead"])
    "did you mean 'born_dead'?"
    """
    near = difflib.get_close_matches(str(name), known, n=3)
    if near:
        return f"did you mean {' or '.join(map(repr, near))}?"
    return f"there are {', '.join(known)}" if known else "there is none yet"


_DATE = "%Y-%m-%dT%H:%M:%SZ"
_VERSIONS = ("relubook", "python", "numpy", "scipy", "pandas", "torch")


def _provenance(path):
    text = _text(path)
    try:
        found = json.loads(text)
    except ValueError as error:
        raise RecordError(
            f"{path.name} is no JSON ({error}): it is half-written or was edited; "
            + _mend(path.stem)
        ) from error
    try:
        wrong = _fault(found)
    except (TypeError, AttributeError, KeyError):  # not the type asked about
        wrong = "a value inside it has the wrong type"
    if wrong:
        raise RecordError(f"{path.name}: {wrong}; {_mend(path.stem)}")
    return found


def _fault(found):
    """What is wrong with a provenance, or None."""
    if not isinstance(found, dict):
        return f"it holds a {type(found).__name__}, not a mapping of fields"
    if wrong := _keys_fault("it", found, _FIELDS):
        return wrong
    for field, (is_right, wanted) in _FIELDS.items():
        if not _answer(is_right, found[field]):
            return f"{field} is {found[field]!r}, but must be {wanted}"
    if [seed for piece in found["pieces"] for seed in piece["seeds"]] != found["seeds"]:
        return "the seeds of its pieces are not its seeds"
    return _device_fault(found["device"], found["versions"], found["pieces"])


def _device_fault(device, versions, pieces):
    """What speaks against a run's being on the device that it names, or None."""
    kind = device.get("kind")
    if kind == "cpu":
        fields = ("kind", "name", "cores", "threads")
        wrong = _keys_fault("a CPU's device", device, fields)
        counts = _is_count(device.get("cores")) and _is_count(device.get("threads"))
        if not wrong and not (counts and _is_text(device["name"])):
            wanted = "the processor's name, cores, threads"
            wrong = f"device is {device}, but needs {wanted}"
        if not wrong and any("gpu_bytes" in piece for piece in pieces):
            wrong = "device is a CPU, but a piece held gpu_bytes of a GPU's memory"
        return wrong
    if kind != "cuda":
        return f"device is {device}, but its kind must be cpu or cuda"
    wrong = _keys_fault("a GPU's device", device, ("kind", "name", "cuda"))
    if not wrong and not (_is_text(device["name"]) and _is_text(device["cuda"])):
        wrong = f"device is {device}, but needs the GPU's name and its CUDA version"
    if not wrong and "torch" not in versions:
        wrong = "device is a GPU, but versions has no torch to use it"
    if not wrong and not all(_is_count(piece.get("gpu_bytes")) for piece in pieces):
        wrong = "device is a GPU, but a piece held no gpu_bytes of its memory"
    return wrong


def _keys_fault(what, found, wanted):
    for key in wanted:
        if key not in found:
            return f"{what} lacks the field {key!r}"
    for key in found:
        if key not in wanted:
            return f"{what} has the unknown field {key!r}"
    return None


def _answer(is_right, value):
    try:
        return is_right(value)
    except (TypeError, ValueError, AttributeError):  # the question makes no sense
        return False


def _is_text(value):
    return isinstance(value, str) and value.strip() == value != ""


def _is_count(value):
    return type(value) is int and value > 0


def _is_list_of_seeds(value):
    integers = all(type(seed) is int and seed >= 0 for seed in value)
    return type(value) is list and value and integers and len(set(value)) == len(value)


def _is_piece(piece):
    return (
        {"seeds", "seconds"} <= set(piece) <= {"seeds", "seconds", "gpu_bytes"}
        and _is_list_of_seeds(piece["seeds"])
        and type(piece["seconds"]) in (int, float)
        and piece["seconds"] >= 0
    )


def _is_versions(value):
    needed = set(_VERSIONS) - {"torch"}
    return needed <= set(value) <= set(_VERSIONS) and all(map(_is_text, value.values()))


_FIELDS = {
    "schema": (lambda value: value == SCHEMA, f"{SCHEMA}, the one known here"),
    "experiment": (str.isidentifier, "the name of an experiment"),
    "command": (
        lambda value: re.fullmatch(r"python -m tools\.record \w+ --device \w+", value),
        "'python -m tools.record NAME --device DEVICE'",
    ),
    "date": (
        lambda value: datetime.strptime(value, _DATE), "like 2026-01-31T12:00:00Z"
    ),
    "commit": (
        lambda value: value is None or re.fullmatch("[0-9a-f]{40}", value),
        "the 40 digits of a commit, or null where git was not there",
    ),
    "dirty": (
        lambda value: value is None or type(value) is bool, "true, false or null"
    ),
    "device": (lambda value: type(value) is dict, "a mapping"),
    "versions": (_is_versions, f"the versions of {', '.join(_VERSIONS)}"),
    "seeds": (_is_list_of_seeds, "a list of distinct integers >= 0"),
    "pieces": (
        lambda value: type(value) is list and value and all(map(_is_piece, value)),
        "a list of pieces, each with seeds and seconds",
    ),
    "columns": (lambda value: "seed" in value and all(map(_is_text, value)),
                "a list of names with 'seed' among them"),
    "rows": (_is_count, "an integer > 0"),
    "sha256": (lambda value: re.fullmatch("[0-9a-f]{64}", value), "64 digits"),
}


def _text(path):
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RecordError(f"{path.name} is missing; {_mend(path.stem)}") from None
    except UnicodeDecodeError as error:
        raise RecordError(f"{path.name}: {error}; {_mend(path.stem)}") from error


def _mend(name):
    return f"restore both files from git, or run `python -m tools.record {name}` again"


def _unknown(name):
    return (
        f"no run of {name!r} is recorded; {closest(name, names())} "
        "(`python -m tools.record NAME` records an experiment)"
    )


def _count(number, noun):
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _listed(values):
    shown = ", ".join(map(str, values[:10]))
    return shown + (", …" if len(values) > 10 else "")
