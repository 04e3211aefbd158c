"""How long ten submissions take to grade, beside `otter run`, and who is right.

Both grade the same ten honest notebooks of a built assignment, two at a time, everything
counted from the start of the command: the solution, the untouched notebook and known
mistakes. Then three awkward ones, one at a time; `otter run` is given a minute for each.
"""

import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat

from relubook.grading import assignments

ROOT = Path(__file__).resolve().parent.parent
ASSIGNMENTS = "relu-by-hand", "maxout"  # NumPy; torch
ROUNDS, SUBMISSIONS, JOBS, PATIENCE = 3, 10, 2, 60
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
FORGERY = """\
from otter.execute import Checker

honest = Checker.check

def forged(*args, **kwargs):
    result = honest(*args, **kwargs)
    result.update_score(result.possible)
    return result

Checker.check = forged"""


def main():
    with tempfile.TemporaryDirectory() as folder:
        for name in ASSIGNMENTS:
            compare(name, Path(folder, name))


def compare(name, folder):
    built = assignments.build(
        name, secret="benchmark" * 4, root=ROOT, out=folder / "built"
    )
    submissions = honest(built)
    print(f"\n**{name}**, {len(submissions)} submissions, {JOBS} at a time, "
          f"{os.cpu_count()} CPUs\n")
    print("| | median s | lowest to highest s | right scores |\n|---|--:|--:|--:|")
    found = {ours: [], otter: []}
    for number in range(ROUNDS):
        for grader, times in found.items():
            start = time.perf_counter()
            scores = grader(built, submissions, folder / f"{grader.__name__}{number}")
            times.append(time.perf_counter() - start)
            found[grader] = times
            right = sum(scores[key] == want for key, (_, want) in submissions.items())
            if number == ROUNDS - 1:
                print(f"| {LABELS[grader]} | {statistics.median(times):.1f} | "
                      f"{min(times):.1f} to {max(times):.1f} | {right} |")
    ratio = [slow / fast for fast, slow in zip(found[ours], found[otter])]
    print(f"\n`otter run` takes {statistics.median(ratio):.1f} times as long "
          f"({min(ratio):.1f} to {max(ratio):.1f}).\n")
    print("| awkward submission | wanted | ours | `otter run` |\n|---|--:|--:|--:|")
    for key, submission in awkward(built).items():
        got = [grader(built, {"one": submission}, folder / f"{grader.__name__} {key}")
               for grader in (ours, otter)]
        print(f"| {key} | {submission[1]:g} | "
              + " | ".join(str(scores["one"]) for scores in got) + " |")


def honest(built):
    """Ten notebooks and the scores they must get."""
    points = sum(p for q, p in built.points.items() if q not in built.rubric)
    free = sum(built.free.values())
    found = {
        "solution": (notebook(assignments.cells(built), built.name), points),
        "untouched": (notebook(assignments.cells(built, "student"), built.name), free),
    }
    answers = assignments.answers(built)
    right = [answer for answer in answers if answer.right][:3]
    wrong = [answer for answer in answers if not answer.right]
    for answer in [*right, *wrong][: SUBMISSIONS - len(found)]:
        code = assignments.cells(built, after={answer.question: answer.code})
        lost = sum(built.points[q] - score for q, score in answer.scores.items())
        found[answer.name] = notebook(code, built.name), points - lost
    return found


def awkward(built):
    """Notebooks that end badly or cheat, and the scores they must get."""
    points = sum(p for q, p in built.points.items() if q not in built.rubric)
    solution = assignments.cells(built)
    untouched = assignments.cells(built, "student")
    return {
        "endless loop in the last cell":
            (notebook([*solution, "while True: pass"], built.name), points),
        "os._exit in the last cell":
            (notebook([*solution, "import os\nos._exit(0)"], built.name), points),
        "nothing answered, otter's checks patched":
            (notebook([FORGERY, *untouched], built.name), sum(built.free.values())),
    }


def notebook(cells, name):
    """A notebook of these code cells, as JSON."""
    made = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in cells],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"},
                  "otter": {"assignment_name": name}},
    )
    return nbformat.writes(made)


def written(submissions, folder):
    """The submissions as files in `folder`."""
    folder.mkdir(parents=True)
    paths = {key: folder / f"{key}.ipynb" for key in submissions}
    for key, (text, _) in submissions.items():
        paths[key].write_text(text, "utf-8")
    return paths


def ours(built, submissions, folder):
    """Scores by `relubook grade`."""
    written(submissions, folder / "in")
    subprocess.run(
        [sys.executable, "-m", "relubook", "grade", built.folder, folder / "in",
         "-o", folder / "out", "--jobs", str(JOBS), "--no-analysis"],
        check=True, capture_output=True, env=ENVIRONMENT, cwd=ROOT,
    )
    with open(folder / "out" / "grades.csv", encoding="utf-8") as file:
        return {row["id"]: float(row["score"]) for row in csv.DictReader(file)}


def otter(built, submissions, folder):
    """Scores by `otter run`, or what became of it."""
    paths = written(submissions, folder / "in")

    def one(key):
        out = folder / "out" / key
        out.mkdir(parents=True)
        command = [sys.executable, "-m", "otter", "run", paths[key], "-o", out, "-a",
                   built.folder / "gradescope.zip"]
        try:
            subprocess.run(command, capture_output=True, env=ENVIRONMENT, cwd=folder,
                           timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            return "no end"
        results = out / "results.json"
        if not results.exists():
            return "no score"
        tests = json.loads(results.read_text("utf-8"))["tests"]
        return round(sum(test.get("score", 0) for test in tests), 6)

    with ThreadPoolExecutor(JOBS) as pool:
        return dict(zip(paths, pool.map(one, paths)))


LABELS = {ours: "`relubook grade`", otter: "`otter run`"}

if __name__ == "__main__":
    main()
