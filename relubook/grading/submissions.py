"""Find the submissions in a folder, and read one without trusting it.

Nothing here runs, unpacks or writes anything: a submission is bytes that may have been
made to do harm. Whatever cannot be read is `Unreadable` with a reason that a student
understands; only a file that is no submission at all is left out.
"""

import codecs
import hashlib
import io
import json
import os
import re
import stat
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

MOST_BYTES = 32 << 20  # of a file, and of a notebook in a zip
MOST_CELLS = 2_000
MOST_SOURCE = 2 << 20  # characters of all code cells together
MOST_MEMBERS = 10_000  # of a zip
MOST_NODES = 3_000_000  # brackets in the JSON: 32 MiB of [] would fill a gigabyte


class Unreadable(ValueError):
    """A submission that cannot be read as a notebook; says why."""


@dataclass(frozen=True, order=True)
class Submission:
    """One file for one student.

    `id` is the student as the file's name or the export's metadata tells it, `path` the
    file, `file` its path inside the folder, `aliases` other ids of the same student (to
    match a roster), `note` what an instructor should know, or "".
    """

    id: str
    file: str
    path: Path
    aliases: tuple[str, ...] = ()
    note: str = ""

    @property
    def slug(self) -> str:
        """A name for this submission's own files: plain characters, and unique.

        The hash keeps apart what differs only in case or in characters left out, so the
        name depends on no other submission.
        """
        plain = re.sub(r"[^A-Za-z0-9@+_-]+", "-", self.id).strip("-")[:48]
        mark = hashlib.sha256(os.fsencode(f"{self.id}\0{self.file}")).hexdigest()[:8]
        return f"{plain or 'student'}-{mark}"


def find(folder) -> list[Submission]:
    """Every submission below `folder`, sorted by id and file.

    Understood are `ID.ipynb` and `ID.zip`; `ID/anything.ipynb`, as JupyterHub and
    nbgrader collect (there the id is the first folder's name); Canvas's bulk download,
    `NAME_[LATE_]USER_FILE_name.ipynb`, where the id is the user's number; and
    Gradescope's export with `submission_metadata.yml`, which gives every submitter of a
    group a submission of its own. Symbolic links, folders and pipes that are named like
    a submission are listed too, and so is what somebody handed in who handed in no
    notebook: they become rows that say so.

    Raises ValueError for a folder that is not there or holds no submission, and for
    Gradescope metadata that cannot be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"submissions={str(folder)!r} is not a folder")
    groups = _gradescope(folder)
    found = []
    for file in _candidates(folder):
        for owner, aliases, note in _owners(file, groups):
            found.append(Submission(owner, file, folder / file, aliases, note))
    served = {each.id for each in found}
    for file in _without_notebook(folder, groups):
        for owner, aliases, note in _owners(file, groups):
            if owner not in served:
                found.append(Submission(owner, file, folder / file, aliases, note))
    if not found:
        raise ValueError(
            f"submissions={str(folder)!r} holds no .ipynb or .zip file; wanted ID.ipynb, "
            "ID.zip, ID/NAME.ipynb, or an export of Canvas or Gradescope, unpacked"
        )
    return _with_repeats_noted(sorted(found))


def read_cells(path) -> tuple[list[str], list[str]]:
    """The sources of a notebook's code cells, and notes for whoever reads the feedback.

    `path` is a notebook or a zip that holds exactly one. Raises Unreadable.
    """
    return parse(read_bytes(path))


def read_bytes(path) -> bytes:
    """A regular file's bytes, at most 32 MiB of them. Raises Unreadable.

    A link could lead to another student's file or to the solutions, a pipe would block
    for ever: neither is opened, nor is what the file has been exchanged for meanwhile.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        handle = os.open(path, flags)
    except OSError as error:
        if Path(path).is_symlink():
            raise Unreadable("it is a symbolic link, not a file") from None
        raise Unreadable(f"it cannot be opened: {error.strerror}") from None
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
        raise Unreadable(f"it is {kind}, not a file")
    with open(handle, "rb") as file:
        try:
            data = file.read(MOST_BYTES + 1)
        except OSError as error:
            raise Unreadable(f"it cannot be read: {error.strerror}") from None
    if len(data) > MOST_BYTES:
        raise Unreadable(f"it is larger than {MOST_BYTES >> 20} MiB")
    return data


def sha256(path) -> str | None:
    """The checksum of a submission's bytes; None for one that cannot be read."""
    try:
        return hashlib.sha256(read_bytes(path)).hexdigest()
    except Unreadable:
        return None


def parse(data: bytes) -> tuple[list[str], list[str]]:
    """`read_cells` of a submission's bytes."""
    if data[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        data = _only_notebook(data)
        if data[:4] == b"PK\x03\x04":
            raise Unreadable("the notebook in the zip is a zip itself")
    if not data.strip():
        raise Unreadable("the file is empty")
    text, notes = _decoded(data)
    if text.count("[") + text.count("{") > MOST_NODES:
        raise Unreadable("it holds too many lists and objects to be a notebook")
    try:
        notebook = json.loads(text)
    except RecursionError:
        raise Unreadable("its JSON is nested too deeply") from None
    except ValueError as error:
        raise Unreadable(_not_json(text, error)) from None
    cells = _cells(notebook)
    return _sources(cells), notes + _language(notebook)


# Finding -----------------------------------------------------------------------------

_SUFFIXES = (".ipynb", ".zip")
# what else students hand in for a notebook; in a course's folder lie other files, too
_MISTAKEN = (".py", ".html", ".htm", ".pdf", ".json", ".ipynb.txt", ".rar", ".7z", ".gz")
# tests.zip comes with the assignment
_LEFT_OUT = {"__MACOSX", "__pycache__", "tests.zip"}
# Canvas writes the user's and the file's number between underscores, after the name
# (from which it takes numbers between underscores) and, for late work, LATE.
_CANVAS = re.compile(r"(?P<name>[^/]*?)_(?P<late>LATE_)?(?P<user>\d+)_\d+_.+", re.DOTALL)


def _candidates(folder: Path):
    """Paths inside the folder of everything that could be a submission."""
    for where, folders, files in os.walk(folder):
        inside = Path(where).relative_to(folder)
        # a folder (or a link to one) that is called x.ipynb is somebody's submission
        named = [name for name in folders if name.lower().endswith(_SUFFIXES)]
        folders[:] = [
            name for name in folders if not _hidden(name) and name not in named
        ]
        for name in [*files, *named]:
            if name.lower().endswith(_SUFFIXES) and not _hidden(name):
                yield (inside / name).as_posix()


def _hidden(name: str) -> bool:
    return name.startswith(".") or name in _LEFT_OUT


def _without_notebook(folder: Path, groups):
    """What may be all that somebody handed in: other files, and folders of them."""
    for path in folder.iterdir():
        name = path.name
        if _hidden(name) or name.lower().endswith(_SUFFIXES):
            continue
        if name in groups or _CANVAS.fullmatch(name):
            yield name
        elif path.is_dir() and not path.is_symlink():
            if any(not _hidden(name) for _, _, names in os.walk(path) for name in names):
                yield name
        elif name.lower().endswith(_MISTAKEN):
            yield name
    yield from sorted(set(groups) - {path.name for path in folder.iterdir()})


def _owners(file: str, groups) -> list[tuple[str, tuple[str, ...], str]]:
    """Whose file it is: (id, other ids, note) for each student."""
    top, _, rest = file.partition("/")
    if top in groups:
        return groups[top]
    if rest:
        return [(top, (), "")]
    endings = [each for each in _SUFFIXES + _MISTAKEN if top.lower().endswith(each)]
    stem = top[: -max(map(len, endings))] if endings else top
    canvas = _CANVAS.fullmatch(top)
    if canvas:
        return [(canvas["user"], (stem,), "late (Canvas)" if canvas["late"] else "")]
    return [(stem, (), "")]


def _gradescope(folder: Path) -> dict:
    """What `submission_metadata.yml` says: folder -> [(id, aliases, note), ...]."""
    path = folder / "submission_metadata.yml"
    if not path.is_file():
        return {}
    import yaml

    try:
        content = yaml.load(path.read_text("utf-8"), _plain_loader(yaml))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not readable as YAML: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} must map submissions to their submitters")
    return {str(top): _submitters(path, top, about) for top, about in content.items()}


def _plain_loader(yaml):
    """A YAML loader that reads every value as text: ids such as 007 stay what they are.

    Ruby's symbols (`:email`) and its tagged times come as text, too.
    """

    class Loader(yaml.SafeLoader):
        yaml_implicit_resolvers = {}

    def text(loader, suffix, node):
        return node.value if isinstance(node, yaml.ScalarNode) else None

    Loader.add_multi_constructor("!", text)
    return Loader


def _submitters(path, top, about) -> list:
    people = about.get(":submitters") if isinstance(about, dict) else None
    if not isinstance(people, list) or not people:
        return [(str(top), (), "no submitter is named in submission_metadata.yml")]
    owners = []
    for person in people:
        if not isinstance(person, dict):
            raise ValueError(f"{path}: {top}: a submitter must have :email and :sid")
        known = [person.get(key) for key in (":email", ":sid", ":name")]
        known = [str(value).strip() for value in known if value]
        if not known:
            raise ValueError(f"{path}: {top}: a submitter has neither :email nor :sid")
        note = f"handed in by a group of {len(people)}" if len(people) > 1 else ""
        owners.append((known[0], tuple(known[1:]), note))
    return owners


def _with_repeats_noted(found: list[Submission]) -> list[Submission]:
    files = {}
    for each in found:
        files.setdefault(each.id, []).append(each.file)
    noted = []
    for each in found:
        note = each.note
        if len(files[each.id]) > 1:
            more = f"{len(files[each.id])} files of this id"
            note = f"{note}; {more}" if note else more
        noted.append(Submission(each.id, each.file, each.path, each.aliases, note))
    return noted


# Reading -----------------------------------------------------------------------------


_UNPACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def _only_notebook(data: bytes) -> bytes:
    """The one notebook in a zip, without writing anything.

    The sizes in a zip's directory are the sender's claims: only what comes out counts.
    """
    if data.count(b"PK\x01\x02") > MOST_MEMBERS:  # before zipfile makes objects of them
        raise Unreadable(f"the zip holds more than {MOST_MEMBERS:,} files")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            notebooks = [each for each in members if _is_notebook(each.filename)]
            if len(notebooks) != 1:
                number = len(notebooks) or "no"
                raise Unreadable(f"the zip holds {number} notebooks; wanted one")
            if notebooks[0].flag_bits & 1:
                raise Unreadable("the zip is encrypted")
            if notebooks[0].compress_type not in _UNPACKED:
                # zipfile unpacks the others at one go, however much comes out
                raise Unreadable("the zip is compressed in an unusual way; wanted deflate")
            with archive.open(notebooks[0]) as file:
                content = file.read(MOST_BYTES + 1)
    except Unreadable:
        raise
    except (
        zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, ValueError,
        NotImplementedError, LookupError, MemoryError, OverflowError,
    ) as error:  # fmt: skip
        # zipfile raises all of these for files made by hand, and bz2 and lzma OSError
        raise Unreadable(f"the zip is damaged: {_short(error)}") from None
    except Exception as error:
        # lzma.LZMAError and struct.error have no common class but Exception
        raise Unreadable(f"the zip is damaged: {type(error).__name__}") from None
    if len(content) > MOST_BYTES:
        raise Unreadable(f"the notebook in the zip is larger than {MOST_BYTES >> 20} MiB")
    return content


def _is_notebook(name: str) -> bool:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return (
        name.lower().endswith(".ipynb")
        and not any(_hidden(part) for part in parts if part not in (".", ".."))
    )


def _decoded(data: bytes) -> tuple[str, list[str]]:
    for mark, encoding in (
        (codecs.BOM_UTF32_LE, "utf-32"),
        (codecs.BOM_UTF32_BE, "utf-32"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if data.startswith(mark):
            return _decoded_as(data, encoding)
    # JSON begins with an ASCII character: where the zeros stand tells UTF-16 without BOM
    if data[1:2] == b"\0" and data[:1] != b"\0":
        return _decoded_as(data, "utf-16-le")
    if data[:1] == b"\0" and data[1:2] != b"\0":
        return _decoded_as(data, "utf-16-be")
    try:
        return data.decode("utf-8-sig"), []
    except UnicodeDecodeError:
        return _decoded_as(data, "latin-1")


def _decoded_as(data: bytes, encoding: str) -> tuple[str, list[str]]:
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        raise Unreadable(f"its text is neither UTF-8 nor {encoding.upper()}") from None
    return text, [f"the file is not UTF-8; it was read as {encoding.upper()}"]


def _not_json(text: str, error: ValueError) -> str:
    if not text.lstrip().startswith("{"):
        return "it is not a notebook: a notebook is JSON and begins with {"
    if isinstance(error, json.JSONDecodeError):
        if not text.rstrip().endswith("}"):
            return "the file is cut off: its JSON does not end"
        return f"its JSON is broken in line {error.lineno}: {error.msg}"
    return f"its JSON is broken: {_short(error)}"  # an integer of too many digits


def _cells(notebook) -> list[dict]:
    """The cells, whatever the format's version."""
    if not isinstance(notebook, dict):
        raise Unreadable("it is JSON, but not a notebook")
    version = notebook.get("nbformat")
    if type(version) is not int or version not in (3, 4):
        shown = version if type(version) in (int, float, str) else "missing"
        raise Unreadable(f"its nbformat is {_short(shown)}; wanted 4 (or 3)")
    if version == 4:
        cells = notebook.get("cells")
    else:
        sheets = notebook.get("worksheets")
        if not isinstance(sheets, list):
            raise Unreadable("it has no list of worksheets, which nbformat 3 has")
        cells = []
        for sheet in sheets:
            inside = sheet.get("cells") if isinstance(sheet, dict) else None
            if not isinstance(inside, list):
                raise Unreadable("a worksheet has no list of cells")
            cells += inside
    if not isinstance(cells, list):
        raise Unreadable("it has no list of cells")
    if not all(isinstance(cell, dict) for cell in cells):
        raise Unreadable("a cell is not an object")
    return [cell for cell in cells if cell.get("cell_type") == "code"]


def _sources(cells: list[dict]) -> list[str]:
    if len(cells) > MOST_CELLS:
        raise Unreadable(
            f"it has {len(cells):,} code cells; at most {MOST_CELLS:,} are run"
        )
    sources = []
    for cell in cells:
        source = cell.get("source", cell.get("input", ""))
        if isinstance(source, list) and all(isinstance(line, str) for line in source):
            source = "".join(source)
        if not isinstance(source, str):
            raise Unreadable("a cell's source is neither text nor a list of lines")
        # half of a surrogate pair can be written in JSON, but in no file or pipe
        sources.append(source.encode("utf-8", "replace").decode())
    if sum(map(len, sources)) > MOST_SOURCE:
        raise Unreadable(f"its code is longer than {MOST_SOURCE >> 20} MiB")
    return sources


_OTHER_LANGUAGES = {"r", "ir", "julia", "octave", "matlab", "javascript", "bash", "c++"}


def _language(notebook: dict) -> list[str]:
    """Notes about the kernel. Raises Unreadable for a language that is not Python."""
    metadata = _mapping(notebook.get("metadata"))
    kernel = _mapping(metadata.get("kernelspec"))
    info = _mapping(metadata.get("language_info"))
    language = (_text(kernel.get("language")) or _text(info.get("name"))).lower()
    name = _text(kernel.get("name"))
    if not language and re.match(r"(ir|julia|octave|matlab)\b", name.lower()):
        language = name.lower()
    if re.match(r"[a-z+]*", language)[0] in _OTHER_LANGUAGES:
        raise Unreadable(f"its language is {_short(language)}; wanted Python")
    if language and not language.startswith(("python", "ipython")):
        return [f"the notebook names the language {_short(language)}; run as Python"]
    if name and not re.match(r"(python|\.?venv|conda|ipykernel)", name.lower()):
        return [f"the notebook names the kernel {_short(name)}; run as Python"]
    return []


def _mapping(value) -> dict:
    return value if isinstance(value, dict) else {}


def _text(value) -> str:
    return value if isinstance(value, str) else ""


def _short(value) -> str:
    text = str(value)
    text = "".join(char if char.isprintable() else "?" for char in text)
    return text if len(text) <= 60 else text[:57] + "..."
