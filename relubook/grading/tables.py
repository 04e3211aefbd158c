"""The tables around a batch: the roster, manual points, `grades.csv`, `canvas.csv`.

What is read comes from spreadsheets and is checked line by line; what is written is
written whole or not at all, and no cell of it is a formula.
"""

import csv
import io
import math
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

ID_COLUMNS = (
    "id", "ID", "SIS User ID", "SIS Login ID", "email", "netid", "student_id",
)  # fmt: skip
NAME_COLUMNS = ("name", "Name", "Student", "student", "full_name", "Full Name")


class TableError(ValueError):
    """A table that cannot be used; names the file, the line and the column."""


@dataclass(frozen=True)
class Student:
    """A line of the roster: the id, the name, and all ids the line gives."""

    id: str
    name: str
    aliases: tuple[str, ...]
    cells: dict = field(repr=False)


@dataclass(frozen=True)
class Roster:
    """Who takes the course, in the file's order. `columns` are the file's."""

    path: Path
    columns: tuple[str, ...]
    students: tuple[Student, ...]

    @property
    def is_canvas(self) -> bool:
        """Whether it is an export of Canvas's gradebook."""
        return {"Student", "ID", "Section"} <= set(self.columns)

    def find(self, submission) -> Student | None:
        """Whose submission it is: by id, else by another id that only one student has.

        Upper and lower case are the same, as in e-mail addresses.
        """
        names = [name.casefold() for name in (submission.id, *submission.aliases)]
        for name in names:
            for student in self.students:
                if student.id.casefold() == name:
                    return student
        for name in names:
            owners = [student for student in self.students if name in student.aliases]
            if len(owners) == 1:
                return owners[0]
        return None


def read_roster(path, id_column=None, ids=()) -> Roster:
    """Read a CSV file with a header and a column of ids. Raises TableError.

    The column is `id_column`, or that one of ID_COLUMNS which names most of `ids`, those
    of the submissions; without any, the first. The other ones of ID_COLUMNS are used to
    match submissions, too. Of a Canvas export the lines that are no students are left
    out.
    """
    columns, lines = _read(path)
    column = _id_column(path, columns, id_column, lines, ids)
    name_column = next((name for name in NAME_COLUMNS if name in columns), None)
    canvas = {"Student", "ID", "Section"} <= set(columns)
    others = [name for name in ID_COLUMNS if name in columns and name != column]
    students, seen = [], {}
    for number, cells in lines:
        if canvas and _is_no_student(cells):
            continue
        identity = undefused(cells[column].strip())
        if not identity:
            raise TableError(f"{path}: line {number}, column {column!r}: it is empty")
        earlier = seen.setdefault(identity.casefold(), number)
        if earlier != number:
            raise TableError(
                f"{path}: line {number}, column {column!r}: {identity!r} stands in line "
                f"{earlier}, too; wanted each student once"
            )
        aliases = tuple(cells[name].strip().casefold() for name in others)
        name = undefused(cells[name_column].strip()) if name_column else ""
        students.append(Student(identity, name, tuple(filter(None, aliases)), cells))
    if not students:
        raise TableError(f"{path}: it names no student")
    return Roster(Path(path), tuple(columns), tuple(students))


def _id_column(path, columns, wanted, lines, ids):
    if wanted is not None:
        if wanted not in columns:
            raise TableError(
                f"{path}: line 1: there is no column {wanted!r}; there are "
                + ", ".join(map(repr, columns))
            )
        return wanted
    known = [name for name in ID_COLUMNS if name in columns]
    if known:
        wanted = {name.casefold() for name in ids}
        named = {
            name: sum(
                undefused(cells[name].strip()).casefold() in wanted for _, cells in lines
            )
            for name in known
        }
        return max(known, key=named.get)  # the first of those that name as many
    raise TableError(
        f"{path}: line 1: none of the columns {', '.join(map(repr, columns))} is an id; "
        f"wanted one of {', '.join(ID_COLUMNS)}, or name it with --id-column"
    )


def _is_no_student(cells):
    """Canvas's line of points, its lines of policies, and its test student."""
    student = cells["Student"].strip()
    return student in ("Points Possible", "Student, Test") or (
        not student and not cells["ID"].strip()
    )


# Manual points -----------------------------------------------------------------------

MANUAL_COLUMNS = ("id", "question", "criterion", "of", "points", "comment")


@dataclass(frozen=True)
class Manual:
    """What was graded by hand: (id, question, criterion) -> (points or None, comment)."""

    entries: dict
    rubric: dict

    def question(self, student, question) -> float | None:
        """A question's points; None as long as a criterion has none."""
        points = [
            self.entries.get((student, question, criterion), (None, ""))[0]
            for criterion in self.rubric[question]
        ]
        return None if None in points else float(sum(points))

    def comments(self, student, question) -> list:
        """(criterion, points or None, of, comment) in the rubric's order."""
        return [
            (criterion, *self.entries.get((student, question, criterion), (None, "")), of)
            for criterion, of in self.rubric[question].items()
        ]


def read_manual(path, rubric) -> Manual:
    """The manual points in `path`, checked against the rubric; none without a file.

    `rubric` maps each manual question to its criteria and their points. Raises
    TableError for an unknown question or criterion, a line that stands there twice, and
    points that are no number between 0 and the criterion's.
    """
    if not Path(path).exists():
        return Manual({}, rubric)
    columns, lines = _read(path)
    for name in MANUAL_COLUMNS:
        if name not in columns and name not in ("of", "comment"):
            raise TableError(f"{path}: line 1: there is no column {name!r}")
    entries = {}
    for number, cells in lines:
        student, question, criterion = (
            undefused(cells[name].strip()) for name in MANUAL_COLUMNS[:3]
        )
        where = f"{path}: line {number}"
        if question not in rubric:
            raise TableError(
                f"{where}, column 'question': {question!r} is not graded by hand; "
                f"wanted one of {', '.join(rubric) or '(none)'}"
            )
        if criterion not in rubric[question]:
            raise TableError(
                f"{where}, column 'criterion': {question} has no {criterion!r}; wanted "
                f"one of {', '.join(rubric[question])}"
            )
        key = (student, question, criterion)
        if key in entries:
            raise TableError(f"{where}: {student}, {question}, {criterion} stands twice")
        points = _points(where, cells["points"].strip(), rubric[question][criterion])
        entries[key] = points, undefused(cells.get("comment", "").strip())
    return Manual(entries, rubric)


def _points(where, text, of):
    if not text:
        return None
    try:
        points = float(text)
    except ValueError:
        points = math.nan
    if not 0 <= points <= of:
        raise TableError(
            f"{where}, column 'points': {text!r} is not a number from 0 to {number(of)}"
        )
    return points


def extend_manual(path, rubric, students) -> None:
    """Append a line for every student and criterion that has none yet.

    Lines that are there stay as they are, with any columns that were added to them.
    """
    path = Path(path)
    if not rubric:
        return
    columns, lines = _read(path) if path.exists() else (list(MANUAL_COLUMNS), [])
    known = {
        tuple(undefused(cells[name].strip()) for name in MANUAL_COLUMNS[:3])
        for _, cells in lines
    }
    new = [
        dict(id=student, question=question, criterion=criterion, of=number(of))
        for student in students
        for question, criteria in rubric.items()
        for criterion, of in criteria.items()
        if (student, question, criterion) not in known
    ]
    if new or not path.exists():
        rows = [cells for _, cells in lines] + new
        # spreadsheets take a file for UTF-8 only if it begins with a byte-order mark
        write(path, "\ufeff" + csv_text(columns, rows), durable=True)


# Grades ------------------------------------------------------------------------------


def write_grades(path, questions, rows) -> None:
    """Write `grades.csv`; `rows` are dicts of `batch.rows`."""
    columns = ["id", "name", "file", "status", "score", "possible", *questions]
    columns += ["seconds", "sha256", "notes"]
    flat = [
        {**row, **row["questions"], "notes": "; ".join(row["notes"])} for row in rows
    ]
    write(path, csv_text(columns, flat))


def write_canvas(path, roster, title, possible, scores) -> None:
    """Write a file that Canvas's gradebook imports.

    Canvas finds students by the columns up to `Section` and the assignment by the title
    of a column; it reads its points from the line `Points Possible`. Where the export
    has a column for the assignment (`TITLE (NUMBER)`) that one is filled, so that Canvas
    makes no new one. A student without a score (`scores` has no entry) keeps what the
    export said: an empty cell would delete a score that Canvas has.
    """
    known = list(roster.columns[: roster.columns.index("Section") + 1])
    column = _canvas_column(roster.columns, title)
    first = {name: "" for name in known} | {known[0]: "    Points Possible"}
    rows = [first | {column: number(possible)}]
    for student in roster.students:
        kept = student.cells.get(column, "").strip()
        score = scores.get(student.id)
        cells = {name: student.cells[name] for name in known}
        rows.append(cells | {column: kept if score is None else number(score)})
    write(path, csv_text([*known, column], rows))


def _canvas_column(columns, title):
    for name in columns:
        stem, bracket, rest = name.rpartition(" (")
        if name == title or (bracket and stem == title and rest[:-1].isdigit()):
            return name
    return title


# CSV ---------------------------------------------------------------------------------


def _read(path) -> tuple[list[str], list[tuple[int, dict]]]:
    """Header and lines with their numbers. Commas, semicolons or tabs separate cells."""
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise TableError(f"{path}: it cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise TableError(
            f"{path}: line {line}: it is not UTF-8; save the table as 'CSV UTF-8'"
        ) from None
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    columns, lines = None, []
    start = 1
    try:
        for row in reader:
            number, start = start, reader.line_num + 1
            if not any(cell.strip() for cell in row):
                continue
            if columns is None:
                columns = _columns(path, row)
            elif len(row) > len(columns) and any(row[len(columns) :]):
                raise TableError(
                    f"{path}: line {number}: {len(row)} cells; the header has "
                    f"{len(columns)}"
                )
            else:
                row = row[: len(columns)] + [""] * (len(columns) - len(row))
                lines.append((number, dict(zip(columns, row, strict=True))))
    except csv.Error as error:
        raise TableError(f"{path}: line {start}: {error}") from None
    if columns is None:
        raise TableError(f"{path}: it is empty; wanted a header and a line a student")
    return columns, lines


def _columns(path, row):
    columns = [cell.strip() for cell in row]
    while columns and not columns[-1]:
        columns.pop()
    named = [name for name in columns if name]
    for name in named:
        if named.count(name) > 1 and name in (*ID_COLUMNS, *MANUAL_COLUMNS):
            raise TableError(f"{path}: line 1: there are two columns {name!r}")
    return columns


def csv_text(columns, rows) -> str:
    """CSV of dicts; a missing value or None is an empty cell."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([defused(name) for name in columns])
    for row in rows:
        writer.writerow([_cell(row.get(name)) for name in columns])
    return buffer.getvalue()


def _cell(value):
    if value is None:
        return ""
    if isinstance(value, (int, float)):
        return number(value)
    return defused(value)


def defused(text: str) -> str:
    """Text that no spreadsheet takes for a formula, in one line.

    >>> defused("=1+1"), defused("a\\nb"), defused("ann")
    ("'=1+1", 'a b', 'ann')
    """
    text = "".join(char if char.isprintable() else " " for char in text)
    return "'" + text if text.lstrip()[:1] in _FORMULA else text


def undefused(text: str) -> str:
    """`defused` undone, for a table that comes back from a spreadsheet."""
    if text[:1] == "'" and text[1:].lstrip()[:1] in _FORMULA:
        return text[1:]
    return text


_FORMULA = frozenset("=+-@＝＋－＠")


def number(value) -> str:
    """A number of points as a person writes it.

    >>> number(3.0), number(2.5), number(1 / 3)
    ('3', '2.5', '0.3333')
    """
    return f"{value:.4f}".rstrip("0").rstrip(".")


def write(path, text, durable=False) -> None:
    """Write a file whole or not at all; `durable`, even if the machine itself stops.

    What can be made again need not be durable: to wait for the disk takes time.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{TEMPORARY}")
    try:
        with open(temporary, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


TEMPORARY = ".part"  # ends the names of files that are being written
