"""Recorded runs: those in results/, how they are read, and how they are made."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from relubook import experiments, records
from relubook.experiments import EXPERIMENTS, Experiment
from relubook.records import RecordError
from tools import record as tool

ROOT = Path(__file__).parents[1]


# The records of the book


@pytest.mark.parametrize("name", records.names())
def test_a_record_is_complete(name):
    record = records.load(name)
    assert name in EXPERIMENTS, f"results/{name}.* is the record of no experiment"
    again = f"its definition changed since: run `make record {name}`"
    assert record.seeds == EXPERIMENTS[name].seeds, again
    assert tuple(record.data.columns) == EXPERIMENTS[name].columns, again
    assert record.provenance["device"]["kind"] in EXPERIMENTS[name].devices, again


def test_results_holds_records_only():
    wanted = {f"{name}.{kind}" for name in records.names() for kind in ("csv", "json")}
    assert {path.name for path in (ROOT / "results").iterdir()} - {".partial"} == wanted


def used_in(text):
    """The experiments that a chapter loads or runs."""
    loaded = re.findall(r"""records\.load\(\s*["'](\w+)""", text)
    named = re.findall(r"""EXPERIMENTS\[\s*["'](\w+)""", text)
    modules = "|".join(path.stem for path in (ROOT / "relubook/experiments").glob("*.py"))
    called = re.findall(rf"\b(?:{modules})\.(\w+)\(", text)
    imported = re.findall(rf"from relubook\.experiments\.(?:{modules}) import (.+)", text)
    names = re.findall(r"\w+", " ".join([*called, *imported]))
    return {*loaded, *named, *(name for name in names if name in EXPERIMENTS)}


def test_what_a_chapter_uses_is_found():
    assert used_in('a = records.load("one")\nb = EXPERIMENTS["two"].run([0])') == {
        "one", "two"}
    assert used_in("learning.born_dead([0]); learning.born_dead_bound(2)") == {
        "born_dead"}
    assert used_in("from relubook.experiments.learning import born_dead") == {"born_dead"}


@pytest.mark.parametrize(
    "path", sorted((ROOT / "chapters").glob("*.md")), ids=lambda path: path.stem
)
def test_what_a_chapter_uses_is_recorded(path):
    for name in used_in(path.read_text(encoding="utf-8")):
        records.load(name)


# A small experiment, recorded


def toy(seeds, device):
    """A toy."""
    rows = []
    for seed in seeds:
        for activation in ("relu", "null"):
            loss = np.random.default_rng(seed).normal() / 3
            rows.append((activation, seed, np.nan if seed == 3 else loss, seed > 1))
    return pd.DataFrame(rows, columns=["activation", "seed", "loss", "large"])


COMMIT = "c" * 40


def use(monkeypatch, run=toy, **changes):
    """Make a toy the only experiment there is."""
    fields = dict(seeds=range(5), piece=2, devices=("cpu",),
                  columns=("activation", "seed", "loss", "large"))
    experiment = Experiment("toy", run, **{**fields, **changes})
    monkeypatch.setattr(experiments, "EXPERIMENTS", {"toy": experiment})
    return experiment


@pytest.fixture
def results(tmp_path, monkeypatch):
    use(monkeypatch)
    monkeypatch.setattr(records, "folder", lambda: tmp_path)
    answers = {"--show-toplevel": str(ROOT), "HEAD": COMMIT, "--porcelain": ""}
    # git itself takes a while, and so does waiting for a disk
    monkeypatch.setattr(tool, "git", lambda command, option, *rest: answers[option])
    monkeypatch.setattr(os, "fsync", lambda file: None)
    return tmp_path


@pytest.fixture
def recorded(results):
    assert tool.record("toy", results=results) == 0
    return results


@pytest.fixture
def gpu(monkeypatch):
    """A GPU, as PyTorch would tell of it; `gpu["held"]` is how much memory was used."""
    import torch

    seen = {"held": 4096}
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    for name, answer in {
        "is_available": True, "get_device_name": "Toy GPU", "synchronize": None,
        "reset_peak_memory_stats": None,
    }.items():
        monkeypatch.setattr(torch.cuda, name, lambda answer=answer: answer)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: seen["held"])
    return seen


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def pieces(results):
    return sorted(path.name for path in (results / ".partial" / "toy").iterdir())


def test_a_record_holds_what_ran(recorded):
    record = records.load("toy")
    expected = toy(range(5), "cpu")
    assert record.data.to_dict("list").keys() == expected.to_dict("list").keys()
    for column in expected:
        np.testing.assert_array_equal(record.data[column], expected[column])
    assert contents(recorded).keys() == {"toy.csv", "toy.json"}
    assert not (recorded / ".partial").exists()


def test_provenance(recorded):
    record, found = records.load("toy"), records.load("toy").provenance
    assert found["command"] == "python -m tools.record toy --device cpu"
    assert found["versions"]["numpy"] == np.__version__
    assert [piece["seeds"] for piece in found["pieces"]] == [[0, 1], [2, 3], [4]]
    assert record.seeds == (0, 1, 2, 3, 4) and 0 <= record.seconds < 5
    assert (found["commit"], found["dirty"]) == (COMMIT, False)
    assert str(ROOT) not in json.dumps(found)


def test_labels(recorded, gpu, monkeypatch):
    found = records.load("toy").provenance
    found |= {"date": "2026-01-02T23:59:59Z"}
    found["device"] |= {"name": "Toy CPU", "cores": 1}
    label = records.Record(pd.DataFrame(), found).label
    assert label == "recorded on CPU (Toy CPU, 1 core), 2 January 2026, 5 seeds"
    use(monkeypatch, devices=("cuda", "cpu"))
    tool.record("toy", results=recorded)
    assert "recorded on GPU (Toy GPU), " in repr(records.load("toy"))


# Reading


def edit(folder, change):
    path = folder / "toy.json"
    found = json.loads(path.read_text())
    change(found)
    path.write_text(json.dumps(found))


GPU = {"kind": "cuda", "name": "Toy GPU", "cuda": "13.0"}


@pytest.mark.parametrize("change, complaint", [
    (lambda found: found.pop("commit"), "lacks the field 'commit'"),
    (lambda found: found.update(host="me"), "the unknown field 'host'"),
    (lambda found: found.update(schema=2), "schema is 2, but must be 1"),
    (lambda found: found.update(experiment=3), "experiment is 3"),
    (lambda found: found.update(command="python /home/me/run.py"), "command is"),
    (lambda found: found.update(date="2026-13-01T00:00:00Z"), "date is"),
    (lambda found: found.update(date=None), "date is None"),
    (lambda found: found.update(commit="abc"), "commit is 'abc'"),
    (lambda found: found.update(dirty=1), "dirty is 1"),
    (lambda found: found.update(device="cpu"), "device is 'cpu'"),
    (lambda found: found.update(versions={"numpy": "2"}), "versions is"),
    (lambda found: found.update(seeds=[0, 0]), "seeds is"),
    (lambda found: found.update(seeds=[0, 1]), "the seeds of its pieces"),
    (lambda found: found["pieces"].pop(), "the seeds of its pieces"),
    (lambda found: found["pieces"][0].pop("seconds"), "pieces is"),
    (lambda found: found.update(pieces=[1]), "pieces is"),
    (lambda found: found.update(columns=["loss"]), "columns is"),
    (lambda found: found["columns"].reverse(), "its columns are"),
    (lambda found: found.update(rows=9), "it has 10 rows, not 9"),
    (lambda found: found.update(sha256="0" * 64), "checksums differ"),
    # A GPU's label on a CPU's run, and the other way round
    (lambda found: found["device"].update(kind="cuda"), "lacks the field 'cuda'"),
    (lambda found: found.update(device=GPU), "held no gpu_bytes"),
    (lambda found: found.update(device=GPU | {"name": ""}), "the GPU's name"),
    (lambda found: found.update(device=GPU | {"cuda": None}), "its CUDA version"),
    (lambda found: found.update(device=GPU) or found["versions"].pop("torch"),
     "no torch"),
    (lambda found: found["device"].update(kind="tpu"), "must be cpu or cuda"),
    (lambda found: found["device"].update(cuda="13.0"), "unknown field 'cuda'"),
    (lambda found: found["device"].update(cores=0), "processor's name, cores, threads"),
    (lambda found: found["device"].update(threads="2"), "needs the processor's name"),
    (lambda found: found["pieces"][0].update(gpu_bytes=1), "a CPU, but"),
])
def test_a_provenance_that_is_wrong(recorded, change, complaint):
    edit(recorded, change)
    with pytest.raises(RecordError, match=complaint) as caught:
        records.load("toy")
    assert re.match(r"toy\.(csv|json)", message := str(caught.value))
    assert "run `python -m tools.record toy` again" in message


@pytest.mark.parametrize("text", ["", "[]", "3", "null", '{"schema": 1', '"\udcff"'])
def test_a_provenance_that_is_no_mapping(recorded, text):
    whole = (recorded / "toy.json").read_text()
    for half in (text, whole[: len(whole) // 2]):
        (recorded / "toy.json").write_text(half, errors="surrogateescape")
        with pytest.raises(RecordError, match=r"toy\.json: |toy\.json is no JSON"):
            records.load("toy")


def test_a_table_that_was_edited(recorded):
    path = recorded / "toy.csv"
    path.write_text(path.read_text().replace("relu,0,0.0", "relu,0,0.1"))
    with pytest.raises(RecordError, match="toy.csv is not the table .* differ"):
        records.load("toy")


def test_line_ends_that_git_changed(recorded):
    path = recorded / "toy.csv"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert len(records.load("toy").data) == 10


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_half_a_record(recorded, kind):
    (recorded / f"toy.{kind}").unlink()
    with pytest.raises(RecordError, match=f"toy.{kind} is missing; restore both files"):
        records.load("toy")


def test_a_record_under_another_name(recorded):
    for kind in ("csv", "json"):
        os.rename(recorded / f"toy.{kind}", recorded / f"joy.{kind}")
    with pytest.raises(RecordError, match="joy.json is the record of .* 'toy'"):
        records.load("joy")


def test_no_record(recorded):
    with pytest.raises(RecordError, match="'tou' is recorded; did you mean 'toy'?"):
        records.load("tou")
    with pytest.raises(TypeError, match="name=3 must be a string"):
        records.load(3)


@pytest.mark.parametrize("values", [
    [0.1, 1 / 3, 5e-324, 1.7976931348623157e308], [np.nan, np.inf, -np.inf, -0.0],
    ["relu", "null", "NA", ""],
])
def test_tables_survive(values):
    data = pd.DataFrame({"seed": range(4), "value": values})
    back = records.parse(records.render(data))["value"]
    assert list(map(repr, back.tolist())) == list(map(repr, data["value"].tolist()))


# Recording


def test_pieces_within_a_limit(results, monkeypatch, capsys):
    arguments = ["toy", "--limit", "1e-9"]
    assert tool.main(arguments, results) == tool.PIECES_REMAIN == 3
    assert pieces(results) == ["piece-000.json"]
    assert "2 pieces remain" in capsys.readouterr().out
    assert tool.main(arguments, results) == 3
    assert tool.main(arguments, results) == 0
    assert "recorded in results/toy.csv" in capsys.readouterr().out
    in_pieces = (results / "toy.csv").read_bytes()
    use(monkeypatch, piece=5)
    tool.record("toy", results=results)
    assert (results / "toy.csv").read_bytes() == in_pieces


def test_a_piece_that_takes_too_long(results, monkeypatch, capsys):
    monkeypatch.setattr(tool, "PIECE_SECONDS", -1)
    tool.record("toy", results=results)
    assert "lower piece=2" in capsys.readouterr().out


MACHINE = {  # asking the real one would import torch
    "device": {"kind": "cpu", "name": "Toy CPU", "cores": 2, "threads": 1},
    "versions": {
        name: "1" for name in ("relubook", "python", "numpy", "scipy", "pandas")
    },
}
SLOW = """
import sys, time
from pathlib import Path
from relubook import experiments
from tests import test_records
from tools import record

def slow_toy(seeds, device):
    if 2 in seeds:
        time.sleep(60)
    return test_records.toy(seeds, device)

columns = ("activation", "seed", "loss", "large")
toy = experiments.Experiment("toy", slow_toy, range(5), 2, columns)
experiments.EXPERIMENTS = {"toy": toy}
record.machine = lambda kind: test_records.MACHINE
record.main(["toy"], Path(sys.argv[1]))
"""


def test_a_killed_run_goes_on(recorded, monkeypatch, capsys):
    uninterrupted = (recorded / "toy.csv").read_bytes()
    killed = recorded / "killed"
    run = subprocess.Popen([sys.executable, "-c", SLOW, killed], cwd=ROOT)
    first = killed / ".partial" / "toy" / "piece-000.json"
    deadline = time.monotonic() + 60
    while not first.exists() and run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    run.kill()
    assert run.wait() == -signal.SIGKILL
    assert [path.name for path in killed.iterdir()] == [".partial"]
    first.with_name("draft.piece-001.json").write_text('{"half')
    monkeypatch.setattr(tool, "machine", lambda kind: MACHINE)
    capsys.readouterr()
    assert tool.main(["toy"], killed) == 0
    assert capsys.readouterr().out.startswith("toy: 2 of 3 pieces done")
    assert contents(killed).keys() == {"toy.csv", "toy.json"}
    assert (killed / "toy.csv").read_bytes() == uninterrupted


def interrupted(results):
    """Two of three pieces done."""
    tool.record("toy", limit=1e-9, results=results)
    assert tool.record("toy", limit=1e-9, results=results) == 1
    return results / ".partial" / "toy"


def refuses(results, complaint):
    """Recording fails with this complaint and leaves everything as it was."""
    before = contents(results), contents(results / ".partial" / "toy")
    with pytest.raises(RecordError, match=complaint):
        tool.record("toy", results=results)
    assert before == (contents(results), contents(results / ".partial" / "toy"))


@pytest.mark.parametrize("change, complaint", [
    ({"versions": {"numpy": "1.0"}}, r"versions\.numpy was '1\.0', is"),
    ({"device": {"name": "Toy CPU"}}, r"device\.name was 'Toy CPU', is"),
    ({"sources": "0"}, "the package's sources were others"),
    ({"experiment": "joy"}, "experiment was 'joy', is 'toy'"),
])
def test_pieces_of_another_run(recorded, change, complaint):
    folder = interrupted(recorded)
    piece = json.loads((folder / "piece-001.json").read_text())
    for key, value in change.items():
        old = piece["run"][key]
        piece["run"][key] = {**old, **value} if isinstance(old, dict) else value
    (folder / "piece-001.json").write_text(json.dumps(piece))
    refuses(recorded, rf"toy/piece-001\.json .* another run: {complaint}.* --fresh")
    assert tool.main(["toy", "--fresh"], recorded) == 0


def test_pieces_of_other_seeds(results, monkeypatch):
    interrupted(results)
    use(monkeypatch, piece=3)
    refuses(results, r"seeds was \[0, 1\], is \[0, 1, 2\]")


@pytest.mark.parametrize("text", ["", '{"run": {}', "3", "[]", "{}", '{"run": 3}'])
def test_a_piece_that_is_none(recorded, text):
    folder = interrupted(recorded)
    (folder / "piece-000.json").write_text(text)
    refuses(recorded, r"toy/piece-000\.json .* is no finished piece .* --fresh")
    (folder / "piece-000.json").unlink()
    assert tool.record("toy", results=recorded) == 0


def test_a_piece_that_lost_rows(results):
    folder = interrupted(results)
    piece = json.loads((folder / "piece-000.json").read_text())
    piece["csv"] = piece["csv"][: piece["csv"].rindex("null")]
    (folder / "piece-000.json").write_text(json.dumps(piece))
    refuses(results, "seed 0 has 2 rows and seed 1 has 1")


@pytest.mark.parametrize("written", range(5))
def test_a_full_disk(recorded, monkeypatch, capsys, written):
    """`written` files find room: three pieces, the CSV; the JSON never does."""
    before = contents(recorded)
    room = [None] * written
    fsync = os.fsync

    def full(file):
        if not room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        room.pop()
        fsync(file)

    monkeypatch.setattr(os, "fsync", full)
    assert tool.main(["toy"], recorded) == 1
    message = capsys.readouterr().err
    assert "could not save" in message and "No space left on device" in message
    assert contents(recorded) == before and records.load("toy")
    assert pieces(recorded) == [f"piece-00{i}.json" for i in range(min(written, 3))]
    monkeypatch.setattr(os, "fsync", fsync)
    assert tool.record("toy", results=recorded) == 0


def test_a_stop_between_the_two_files_is_seen_and_mended(recorded, monkeypatch):
    use(monkeypatch, seeds=range(4))
    replace = os.replace

    def stop(draft, path):
        if path.name == "toy.json":
            raise KeyboardInterrupt
        replace(draft, path)

    monkeypatch.setattr(os, "replace", stop)
    assert tool.main(["toy"], recorded) == 130
    with pytest.raises(RecordError, match="checksums differ"):
        records.load("toy")
    monkeypatch.setattr(os, "replace", replace)
    assert tool.record("toy", results=recorded) == 0
    assert records.load("toy").seeds == (0, 1, 2, 3)


def test_an_experiment_that_fails_leaves_the_record(recorded, monkeypatch):
    def fail(seeds, device):
        if 4 in seeds:
            raise ZeroDivisionError
        return toy(seeds, device)

    use(monkeypatch, fail)
    before = contents(recorded)
    with pytest.raises(ZeroDivisionError):
        tool.record("toy", results=recorded)
    assert contents(recorded) == before
    assert pieces(recorded) == ["piece-000.json", "piece-001.json"]


@pytest.mark.parametrize("spoil, complaint", [
    (lambda data: data.to_dict(), "is a dict, not a DataFrame"),
    (lambda data: data.rename(columns={"loss": "error"}), "its columns are"),
    (lambda data: data[data["seed"] != 1], "no rows for the seeds 1"),
    (lambda data: data.assign(seed=data["seed"] + 1), "no rows for the seeds 0"),
    (lambda data: pd.concat([data, data.assign(seed=9)]), "for the seeds 9, which"),
    (lambda data: pd.concat([data, data.assign(seed=np.nan)]), "for the seeds nan, "),
    (lambda data: data[1:], "seed 1 has 2 rows and seed 0 has 1"),
    (lambda data: data[:0], "no rows for the seeds 0, 1"),
])
def test_a_table_that_is_not_as_promised(results, monkeypatch, spoil, complaint):
    use(monkeypatch, lambda seeds, device: spoil(toy(seeds, device)))
    with pytest.raises(RecordError, match=complaint):
        tool.record("toy", results=results)
    assert not list(results.iterdir())


# Devices


def test_a_device_that_is_not_there(results, monkeypatch):
    monkeypatch.setattr(tool, "cuda_is_here", lambda: False)
    use(monkeypatch, devices=("cuda", "cpu"))
    with pytest.raises(RecordError, match="PyTorch finds no CUDA device here"):
        tool.record("toy", "cuda", results=results)
    assert tool.choose_device(tool.find("toy"), "auto") == "cpu"
    use(monkeypatch, devices=("cuda",))
    with pytest.raises(RecordError, match="toy needs a GPU"):
        tool.record("toy", results=results)


def test_a_gpu_that_the_experiment_would_leave_idle(results, monkeypatch, gpu):
    with pytest.raises(RecordError, match="'cuda', but toy makes use of cpu only"):
        tool.record("toy", "cuda", results=results)
    use(monkeypatch, devices=("cuda", "cpu"))
    gpu["held"] = 0
    with pytest.raises(RecordError, match="held none of its memory"):
        tool.record("toy", "cuda", results=results)
    assert not list(results.iterdir())


def test_a_run_on_a_gpu(results, monkeypatch, gpu):
    devices = []
    use(monkeypatch, lambda seeds, device: devices.append(device) or toy(seeds, device),
        devices=("cuda", "cpu"))
    assert tool.record("toy", results=results) == 0
    found = records.load("toy").provenance
    assert found["device"] == GPU and set(devices) == {"cuda"}
    assert found["command"].endswith("--device cuda")
    assert {piece["gpu_bytes"] for piece in found["pieces"]} == {4096}


def test_pieces_of_two_devices_do_not_mix(results, monkeypatch, gpu):
    use(monkeypatch, devices=("cuda", "cpu"))
    tool.record("toy", "cpu", limit=1e-9, results=results)
    refuses(results, "device.kind was 'cpu', is 'cuda'")


# The command line and git


def test_an_unknown_name(results, capsys):
    assert tool.main(["toi"], results) == 1
    assert "no experiment 'toi'; did you mean 'toy'?" in capsys.readouterr().err


def test_the_list(recorded, capsys):
    assert tool.main(["--list"], recorded) == 0
    assert "toy: A toy.\n  recorded on CPU" in capsys.readouterr().out
    edit(recorded, dict.clear)
    assert tool.main(["--list"], recorded) == 0
    assert "toy.json: it lacks the field" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [
    [], ["toy", "--list"], ["toy", "--limit", "0"], ["toy", "--limit", "nan"],
    ["toy", "--device", "tpu"],
])
def test_a_bad_command_line(results, arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        tool.main(arguments, results)
    assert caught.value.code == 2
    assert not list(results.iterdir())


def test_a_copy_without_git(results, monkeypatch, capsys):
    monkeypatch.setattr(tool, "git", lambda *arguments: None)
    assert tool.record("toy", results=results) == 0
    found = records.load("toy").provenance
    assert (found["commit"], found["dirty"]) == (None, None)
    assert "the record will name no commit" in capsys.readouterr().out
    assert tool.record("toy", commit="a" * 40 + "-dirty", results=results) == 0
    found = records.load("toy").provenance
    assert (found["commit"], found["dirty"]) == ("a" * 40, True)
    with pytest.raises(RecordError, match="commit='main', want 40 digits"):
        tool.record("toy", commit="main", results=results)


def test_what_git_says(tmp_path, monkeypatch):
    def git(*arguments):
        who = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=0"]
        done = subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True,
                              capture_output=True, text=True)
        return done.stdout.strip()

    monkeypatch.setattr(tool, "ROOT", tmp_path)
    git("init")
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "code.py").write_text("")
    git("add", ".")
    git("commit", "-m", "first")
    clean = {"commit": git("rev-parse", "HEAD"), "dirty": False}
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "toy.csv").write_text("another record")
    assert tool.code_version() == clean
    with pytest.raises(RecordError, match="but git is here"):
        tool.code_version("a" * 40)
    (tmp_path / "new.py").write_text("")
    assert tool.code_version() == {**clean, "dirty": True}
    monkeypatch.setattr(tool, "ROOT", tmp_path / "inner")  # a copy in a foreign one
    assert tool.code_version() == {"commit": None, "dirty": None}
