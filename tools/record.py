"""Run an experiment at full size, piece by piece, and record it in results/.

    python -m tools.record NAME                  run what is missing, then record
    python -m tools.record NAME --device cuda    on a GPU; `auto` takes one if it can
    python -m tools.record NAME --limit 480      start no piece that may end later
    python -m tools.record --list                what there is, and what is recorded

Finished pieces wait in results/.partial/NAME, so that an interrupted run goes on where
it stopped. Only when all of them are there does the record replace an earlier one.

Exit status: 0 the record is written, 1 an error, 2 a bad command line, 3 pieces remain,
130 interrupted.
"""

import argparse
import contextlib
import hashlib
import importlib.util
import json
import math
import os
import platform
import re
import shutil
import subprocess
import sys
import time
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import numpy
import pandas
import scipy

from relubook import experiments, records
from relubook.records import RecordError

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "results"
PIECE_SECONDS = 480  # a borrowed machine may end a command after ten minutes
PIECES_REMAIN = 3


def record(
    name, device="auto", limit=math.inf, fresh=False, commit=None, results=RESULTS
):
    """Run the pieces that are missing; write the record when all of them are there.

    After the first piece, starts none that would end later than `limit` seconds if it
    took as long as the longest so far. `fresh` throws earlier pieces away. `commit` is
    for a copy without git: 40 digits, and "-dirty" after them if files were changed.

    Returns the number of pieces that remain. Raises RecordError for an unknown name, a
    device that is not there or that the experiment does not use, pieces that are broken
    or of another run, a table that is not what the experiment promises, a full disk.
    An earlier record and the finished pieces then stay as they were.
    """
    experiment = find(name)
    kind = choose_device(experiment, device)
    code = code_version(commit)
    run = {"experiment": name, "sources": sources_sha256(), **machine(kind)}
    waiting = Path(results) / ".partial" / name
    if fresh:
        shutil.rmtree(waiting, ignore_errors=True)
    files = [waiting / f"piece-{i:03}.json" for i in range(len(experiment.pieces))]
    todo = dict(zip(files, experiment.pieces))
    done = {
        file: read_piece(file, experiment, seeds, run)
        for file, seeds in todo.items() if file.exists()
    }
    started, first = time.monotonic(), True
    for file in files:
        if file in done:
            continue
        longest = max((piece["seconds"] for piece in done.values()), default=0)
        if not first and time.monotonic() - started + longest > limit:
            break
        first = False
        done[file] = run_piece(experiment, todo[file], run)
        save({file: json.dumps(done[file])}, waiting)
        say(experiment, done[file], len(done))
    if len(done) == len(files):
        publish(experiment, [done[file] for file in files], {**run, **code}, results)
        shutil.rmtree(waiting, ignore_errors=True)
        with contextlib.suppress(OSError):  # pieces of other experiments may wait there
            waiting.parent.rmdir()
    return len(files) - len(done)


def find(name):
    """The experiment of that name."""
    known = experiments.EXPERIMENTS
    if name not in known:
        advice = records.closest(name, list(known))
        raise RecordError(f"there is no experiment {name!r}; {advice}")
    return known[name]


def choose_device(experiment, device):
    """The kind of device to run on: the first of the experiment's that is here."""
    usable = experiment.devices
    if device == "auto":
        here = [kind for kind in usable if kind == "cpu" or cuda_is_here()]
        if not here:
            raise RecordError(f"{experiment.name} needs a GPU, and there is none here")
        return here[0]
    if device not in usable:  # its run would carry the label of an idle device
        raise RecordError(
            f"device={device!r}, but {experiment.name} makes use of "
            f"{' and '.join(usable)} only"
        )
    if device == "cuda" and not cuda_is_here():
        raise RecordError("device='cuda', but PyTorch finds no CUDA device here")
    return device


def cuda_is_here():
    if importlib.util.find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()


def run_piece(experiment, seeds, run):
    """Run some of the seeds: what a piece's file holds."""
    gpu = run["device"]["kind"] == "cuda"
    if gpu:
        import torch

        torch.cuda.reset_peak_memory_stats()
    started = time.monotonic()
    data = experiment.run(seeds, run["device"]["kind"])
    if gpu:
        torch.cuda.synchronize()
    seconds = round(time.monotonic() - started, 3)
    demand_table(experiment, data, seeds)
    piece = {"run": run, "seeds": list(seeds), "seconds": seconds}
    if gpu:
        piece["gpu_bytes"] = torch.cuda.max_memory_allocated()
        if not piece["gpu_bytes"]:
            raise RecordError(
                f"{experiment.name} was to run on the GPU but held none of its memory; "
                "let it put its tensors on `device`, or declare devices=('cpu',)"
            )
    return {**piece, "csv": records.render(data)}


def read_piece(file, experiment, seeds, run):
    """A piece that an earlier run finished, if it is one of this same run."""
    where = f"{file.parent.name}/{file.name} in results/.partial"
    again = "run again with --fresh to throw all pieces away"
    try:
        piece = json.loads(file.read_text(encoding="utf-8"))
        theirs = {**piece["run"], "seeds": piece["seeds"]}
        piece["seconds"], data = float(piece["seconds"]), records.parse(piece["csv"])
    except (ValueError, TypeError, KeyError) as error:
        raise RecordError(
            f"{where} is no finished piece ({type(error).__name__}: {error}); "
            f"delete it to run it anew, or {again}"
        ) from error
    if differences := list(differing(theirs, {**run, "seeds": list(seeds)})):
        raise RecordError(
            f"{where} is of another run: {'; '.join(differences)}. Pieces of two runs "
            f"make no record: restore what changed, or {again}"
        )
    demand_table(experiment, data, seeds)
    return piece


def differing(theirs, ours, path=""):
    """What differs between two nested mappings, each difference as a phrase."""
    for key in sorted({*theirs, *ours}):
        old, new, name = theirs.get(key), ours.get(key), f"{path}{key}"
        if isinstance(old, dict) and isinstance(new, dict):
            yield from differing(old, new, f"{name}.")
        elif old != new and key == "sources":
            yield "the package's sources were others"
        elif old != new:
            yield f"{name} was {old!r}, is {new!r}"


def demand_table(experiment, data, seeds):
    """Raise RecordError unless the table is what the experiment promises."""
    if not isinstance(data, pandas.DataFrame):
        fault = f"it is a {type(data).__name__}, not a DataFrame"
    else:
        fault = records.table_fault(data, experiment.columns, seeds)
    if fault:
        raise RecordError(f"the table that {experiment.name} returned: {fault}")


def publish(experiment, pieces, run, results):
    """Write the record, replacing an earlier one."""
    head, *_ = pieces[0]["csv"].partition("\n")
    bodies = [piece["csv"].partition("\n")[2] for piece in pieces]
    table = head + "\n" + "".join(bodies)
    kept = ("seeds", "seconds", "gpu_bytes")
    provenance = {
        "schema": records.SCHEMA,
        "experiment": experiment.name,
        "command": f"python -m tools.record {experiment.name} "
                   f"--device {run['device']['kind']}",
        "date": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        **{key: run[key] for key in ("commit", "dirty", "device", "versions")},
        "seeds": list(experiment.seeds),
        "pieces": [
            {key: piece[key] for key in kept if key in piece} for piece in pieces
        ],
        "columns": list(experiment.columns),
        "rows": len(records.parse(table)),
        "sha256": records.sha256(table),
    }
    # The JSON last: until it is there, the checksum tells that the two do not match.
    files = {
        Path(results) / f"{experiment.name}.csv": table,
        Path(results) / f"{experiment.name}.json": one_line_lists(provenance),
    }
    save(files, Path(results) / ".partial" / experiment.name, records.read)


def save(files, folder, check=None):
    """Write all files or, as far as one can tell before, none.

    files: path -> text. The drafts in `folder`, on the same disk, replace the files
    only when all are written and `check(*drafts)` raises nothing.
    """
    drafts = {folder / f"draft.{path.name}": path for path in files}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for draft, path in drafts.items():
            with open(draft, "w", encoding="utf-8", newline="\n") as file:
                file.write(files[path])
                file.flush()
                os.fsync(file.fileno())
        if check:
            check(*drafts)
        for draft, path in drafts.items():
            os.replace(draft, path)
    except OSError as error:
        names = " and ".join(path.name for path in files)
        raise RecordError(
            f"could not save {names}: {error.strerror or error}; an earlier record and "
            "the finished pieces are as they were"
        ) from error
    finally:
        for draft in drafts:
            draft.unlink(missing_ok=True)


def one_line_lists(provenance):
    """JSON to read: indented, but each list of numbers on one line."""
    text = json.dumps(provenance, indent=2, ensure_ascii=False) + "\n"
    return re.sub(
        r"\[[\s\d,]+\]",
        lambda found: "[" + ", ".join(re.findall(r"\d+", found[0])) + "]",
        text,
    )


def code_version(given=None):
    """The commit, and whether anything but results/ differs from it."""
    top = git("rev-parse", "--show-toplevel")
    if top and Path(top) == ROOT:  # and not a foreign repository around a copy
        if given:
            raise RecordError("--commit is for a copy without git, but git is here")
        changed = git("status", "--porcelain", "--", ".", ":(exclude)results")
        return {"commit": git("rev-parse", "HEAD"), "dirty": changed != ""}
    if not given:
        print("No git here: the record will name no commit unless --commit does.")
        return {"commit": None, "dirty": None}
    match = re.fullmatch("([0-9a-f]{40})(-dirty)?", given)
    if not match:
        raise RecordError(f"commit={given!r}, want 40 digits, and -dirty if changed")
    return {"commit": match[1], "dirty": match[2] is not None}


def git(*arguments):
    """What git prints, or None where there is no git or no repository."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True
        )
    except FileNotFoundError:
        return None
    return None if done.returncode else done.stdout.strip()


def sources_sha256():
    """SHA-256 over the names and texts of the package's modules."""
    total = hashlib.sha256()
    for path in sorted((ROOT / "relubook").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        total.update(f"{path.relative_to(ROOT).as_posix()}\0{text}\0".encode())
    return total.hexdigest()


def machine(kind):
    """The device and the versions that results may depend on; nothing of a person's."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    versions = {
        "relubook": project["project"]["version"],
        "python": platform.python_version(),
    }
    for library in (numpy, scipy, pandas):
        versions[library.__name__] = library.__version__
    threads = cores = available_cores()
    if importlib.util.find_spec("torch"):
        import torch

        versions["torch"] = str(torch.__version__)
        threads = torch.get_num_threads()
    if kind == "cpu":
        device = {"name": processor(), "cores": cores, "threads": threads}
    else:
        device = {"name": torch.cuda.get_device_name(), "cuda": torch.version.cuda}
    return {"device": {"kind": kind, **device}, "versions": versions}


def available_cores():
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def processor():
    """The processor's model, or at least its architecture."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        found = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(), re.MULTILINE)
        if found:
            return found[1].strip()
    if platform.system() == "Darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()
    return platform.processor() or platform.machine()


def say(experiment, piece, number):
    """Report a finished piece."""
    minutes = piece["seconds"] / 60
    print(
        f"{experiment.name}: {number} of {len(experiment.pieces)} pieces done, "
        f"the last in {piece['seconds']:.1f} s",
        flush=True,
    )
    if piece["seconds"] > PIECE_SECONDS:
        print(
            f"  That is {minutes:.1f} minutes, and pieces are to take at most "
            f"{PIECE_SECONDS // 60}: lower piece={experiment.piece} of the experiment.",
            flush=True,
        )


def overview():
    """One line for each experiment: its record, or that there is none."""
    for name, experiment in experiments.EXPERIMENTS.items():
        yield f"{name}: {experiment.doc}"
        try:
            yield f"  {records.load(name).label}"
        except RecordError as error:
            yield f"  {error}"


def parse_arguments(arguments):
    title, _, usage = __doc__.partition("\n")
    parser = argparse.ArgumentParser(
        description=title, epilog=usage,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", nargs="?", help="the experiment")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--limit", type=positive, default=math.inf, metavar="SECONDS",
                        help="after the first piece, start none that may end later")
    parser.add_argument("--fresh", action="store_true", help="throw pieces away first")
    parser.add_argument("--commit", help="without git: DIGITS or DIGITS-dirty")
    parser.add_argument("--list", action="store_true", help="list the experiments")
    options = parser.parse_args(arguments)
    if bool(options.name) == options.list:
        parser.error("give the name of an experiment, or --list")
    return options


def positive(text):
    seconds = float(text)
    if not seconds > 0:
        raise argparse.ArgumentTypeError(f"{text} is no positive number of seconds")
    return seconds


def main(arguments=None, results=RESULTS):
    """Do what the command line says, and return the exit status."""
    options = parse_arguments(arguments)
    try:
        if options.list:
            print("\n".join(overview()))
            return 0
        remaining = record(options.name, options.device, options.limit, options.fresh,
                           options.commit, results)
    except RecordError as error:
        print(f"{error}. Nothing was recorded.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted; run it again to go on.", file=sys.stderr)
        return 130
    if remaining:
        print(f"{remaining} pieces remain; run it again to go on.")
        return PIECES_REMAIN
    print(f"recorded in results/{options.name}.csv and .json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
