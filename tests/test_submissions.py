"""relubook.grading.submissions: every layout, every broken file, nothing trusted."""

import io
import json
import os
import struct
import tracemalloc
import zipfile

import pytest

from relubook.grading import submissions
from relubook.grading.submissions import Unreadable, find, read_cells


def notebook(*sources, nbformat=4, **metadata):
    cells = [
        {"cell_type": "code", "source": source, "metadata": {}, "outputs": []}
        for source in sources
    ]
    cells.insert(0, {"cell_type": "markdown", "source": "# Title", "metadata": {}})
    return {"nbformat": nbformat, "nbformat_minor": 5, "metadata": metadata, "cells": cells}


def data(*sources, **metadata):
    return json.dumps(notebook(*sources, **metadata)).encode()


def zipped(members, **options):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def put(folder, *files):
    for name in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data("x = 1"))


def ids(folder):
    return [(each.id, each.file) for each in find(folder)]


# Layouts -----------------------------------------------------------------------------


def test_plain_files_are_sorted_by_id(tmp_path):
    put(tmp_path, "zoe.ipynb", "ann.zip", "b.c.d.ipynb")
    assert ids(tmp_path) == [
        ("ann", "ann.zip"),
        ("b.c.d", "b.c.d.ipynb"),
        ("zoe", "zoe.ipynb"),
    ]


def test_jupyterhub_folders(tmp_path):
    put(tmp_path, "ann/relu.ipynb", "zoe/work/deep/relu.ipynb")
    put(tmp_path, "zoe/work/.ipynb_checkpoints/relu-checkpoint.ipynb", "ann/tests.zip")
    assert ids(tmp_path) == [("ann", "ann/relu.ipynb"), ("zoe", "zoe/work/deep/relu.ipynb")]


def test_canvas_bulk_download(tmp_path):
    put(
        tmp_path,
        "lovelaceada_4711_99001_relu-by-hand.ipynb",
        "noetheremmy_LATE_4712_99002_my_work-1.ipynb",
        "hopper_grace_4713_99003_a.zip",
    )
    (tmp_path / "turingalan_4714_99004_text.html").write_text("see e-mail")
    (tmp_path / "lovelaceada_4711_99005_figure.png").write_text("beside a notebook")
    found = find(tmp_path)
    assert [each.id for each in found] == ["4711", "4712", "4713", "4714"]
    assert found[1].note == "late (Canvas)"
    with pytest.raises(Unreadable, match="not a notebook"):
        read_cells(found[3].path)


def test_gradescope_export(tmp_path):
    put(tmp_path, "submission_1/relu.ipynb", "submission_2/relu.ipynb")
    (tmp_path / "submission_3").mkdir()
    (tmp_path / "submission_3" / "notes.txt").write_text("no notebook")
    (tmp_path / "submission_metadata.yml").write_text(
        "submission_1:\n  :submitters:\n  - :name: Ada L\n    :sid: '0123'\n"
        "    :email: ada@x.edu\n  :created_at: 2026-01-01 00:00:00 Z\n"
        "  :score: !ruby/object:BigDecimal 18:0.5e1\n"
        "submission_2:\n  :submitters:\n  - :name: B\n    :sid: 007\n    :email: b@x.edu\n"
        "  - :name: C\n    :sid:\n    :email: c@x.edu\n"
        "submission_3:\n  :submitters:\n  - :name: D\n    :sid: 4\n    :email: d@x.edu\n"
        "submission_4:\n  :submitters:\n  - :name: E\n    :sid: 5\n    :email: e@x.edu\n"
    )
    found = find(tmp_path)
    assert [(each.id, each.file) for each in found] == [
        ("ada@x.edu", "submission_1/relu.ipynb"),
        ("b@x.edu", "submission_2/relu.ipynb"),
        ("c@x.edu", "submission_2/relu.ipynb"),
        ("d@x.edu", "submission_3"),
        ("e@x.edu", "submission_4"),
    ]
    assert found[0].aliases == ("0123", "Ada L")
    assert found[1].aliases == ("007", "B")
    assert found[1].note == "handed in by a group of 2"
    assert len({each.slug for each in found}) == 5


@pytest.mark.parametrize(
    "text", ["submission_1: [", "- a", "s:\n  :submitters:\n  - {}\n", "\xff"]
)
def test_gradescope_metadata_that_cannot_be_read(tmp_path, text):
    put(tmp_path, "submission_1/relu.ipynb")
    (tmp_path / "submission_metadata.yml").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match="submission_metadata.yml"):
        find(tmp_path)


def test_two_files_of_one_id_both_stay(tmp_path):
    put(tmp_path, "ann.ipynb", "ann/relu.ipynb", "ann/copy.ipynb", "bob.ipynb")
    found = find(tmp_path)
    assert [each.file for each in found] == [
        "ann.ipynb", "ann/copy.ipynb", "ann/relu.ipynb", "bob.ipynb",
    ]  # fmt: skip
    assert [each.note for each in found] == ["3 files of this id"] * 3 + [""]
    assert len({each.slug for each in found}) == 4


def test_what_is_no_submission(tmp_path):
    put(tmp_path, "ann.ipynb", ".hidden.ipynb", "__MACOSX/._ann.ipynb")
    put(tmp_path, ".ipynb_checkpoints/ann-checkpoint.ipynb", ".git/x.ipynb")
    for name in ("roster.csv", ".OTTER_LOG", "readme.txt", ".DS_Store"):
        (tmp_path / name).write_text("")
    (tmp_path / "empty").mkdir()
    assert ids(tmp_path) == [("ann", "ann.ipynb")]


def test_what_is_no_notebook_still_gets_a_row(tmp_path):
    put(tmp_path, "ann.ipynb")
    (tmp_path / "bob.py").write_text("x = 1")
    (tmp_path / "cy").mkdir()
    (tmp_path / "cy" / "answer.docx").write_text("")
    (tmp_path / "dee.ipynb").mkdir()
    (tmp_path / "eve.ipynb").symlink_to(tmp_path / "ann.ipynb")
    os.mkfifo(tmp_path / "fay.ipynb")
    reasons = {}
    for each in find(tmp_path)[1:]:
        with pytest.raises(Unreadable) as caught:
            read_cells(each.path)
        reasons[each.id] = str(caught.value)
    assert reasons == {
        "bob": "it is not a notebook: a notebook is JSON and begins with {",
        "cy": "it is a folder, not a file",
        "dee": "it is a folder, not a file",
        "eve": "it is a symbolic link, not a file",
        "fay": "it is a pipe or a device, not a file",
    }
    assert submissions.sha256(tmp_path / "eve.ipynb") is None


def test_a_link_to_a_folder_is_not_followed(tmp_path):
    (tmp_path / "in").mkdir()
    put(tmp_path, "in/ann.ipynb", "other/secret.ipynb")
    (tmp_path / "in" / "bob").symlink_to(tmp_path / "other")
    assert ids(tmp_path / "in") == [("ann", "ann.ipynb")]


def test_nothing_to_find(tmp_path):
    with pytest.raises(ValueError, match="holds no .ipynb or .zip"):
        find(tmp_path)
    with pytest.raises(ValueError, match="is not a folder"):
        find(tmp_path / "nowhere")


def test_slugs_are_plain_and_keep_ids_apart(tmp_path):
    put(tmp_path, "../../x.ipynb".replace("/", "_"), "Ann.ipynb", "ann.ipynb")
    put(tmp_path, "=cmd|calc.ipynb", "na\nme.ipynb", "élan.ipynb", "a b.ipynb", "a-b.ipynb")
    slugs = [each.slug for each in find(tmp_path)]
    assert len({slug.lower() for slug in slugs}) == len(slugs)
    assert all(slug.isascii() and not set(slug) & set("/\\.\n =|") for slug in slugs)


# Notebooks ---------------------------------------------------------------------------


def test_code_cells_in_order():
    assert submissions.parse(data("a = 1", ["b = 2\n", "b"])) == (["a = 1", "b = 2\nb"], [])


def test_nbformat_3():
    cells = [{"cell_type": "code", "input": "a", "language": "python"}]
    content = {"nbformat": 3, "metadata": {}, "worksheets": [{"cells": cells}]}
    assert submissions.parse(json.dumps(content).encode()) == (["a"], [])


@pytest.mark.parametrize(
    ("encoding", "notes"),
    [
        ("utf-8", 0), ("utf-8-sig", 0), ("latin-1", 1), ("utf-16", 1),
        ("utf-16-le", 1), ("utf-16-be", 1), ("utf-32", 1),
    ],
)  # fmt: skip
def test_encodings(encoding, notes):
    text = json.dumps(notebook("é = 'ü'"), ensure_ascii=False)
    cells, said = submissions.parse(text.encode(encoding))
    assert cells == ["é = 'ü'"]
    assert len(said) == notes


def test_half_a_surrogate_pair_becomes_a_question_mark():
    cells, _ = submissions.parse(data("x = '\ud800'"))
    assert cells == ["x = '?'"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"\0\0\0\0", "not a notebook"),
        (data("x = 1")[:-40], "cut off"),
        (b'{"nbformat": 4,, }', "JSON is broken in line 1"),
        (b'{"nbformat": ' + b"1" * 5000 + b"}", "JSON is broken"),
        (b"[]", "not a notebook"),
        (b"{}", "nbformat is missing"),
        (b'{"nbformat": 2, "cells": []}', "nbformat is 2; wanted 4"),
        (b'{"nbformat": 5, "cells": []}', "nbformat is 5"),
        (b'{"nbformat": 4.0, "cells": []}', "nbformat is 4.0"),
        (b'{"nbformat": true, "cells": []}', "nbformat is missing"),
        (b'{"nbformat": 4}', "no list of cells"),
        (b'{"nbformat": 4, "cells": {}}', "no list of cells"),
        (b'{"nbformat": 4, "cells": [1]}', "a cell is not an object"),
        (b'{"nbformat": 3, "worksheets": 1}', "worksheets"),
        (b'{"nbformat": 3, "worksheets": [1]}', "worksheet"),
        (b'{"nbformat": 4, "cells": ' + b"[" * 100_000, "nested too deeply"),
        (b'{"nbformat": 4, "cells": [' + b"[]," * 3_000_001, "too many lists"),
        (b"x" * 1000, "not a notebook"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_notebook(content, reason):
    with pytest.raises(Unreadable, match=reason):
        submissions.parse(content)


@pytest.mark.parametrize("source", [1, None, ["a", 1], {"a": 1}])
def test_source_of_another_type(source):
    with pytest.raises(Unreadable, match="a cell's source"):
        submissions.parse(data(source))


def test_too_large(tmp_path, monkeypatch):
    with pytest.raises(Unreadable, match="2,001 code cells"):
        submissions.parse(data(*["x"] * 2001))
    with pytest.raises(Unreadable, match="longer than 2 MiB"):
        submissions.parse(data("x" * (2 << 20), "y"))
    path = tmp_path / "a.ipynb"
    with open(path, "wb") as file:
        file.truncate((32 << 20) + 1)
    with pytest.raises(Unreadable, match="larger than 32 MiB"):
        read_cells(path)


@pytest.mark.parametrize(
    ("metadata", "outcome"),
    [
        ({"kernelspec": {"name": "python3", "language": "python"}}, 0),
        ({"kernelspec": {"name": "relubook"}}, 1),
        ({"kernelspec": {"name": "x", "language": "scheme"}}, 1),
        ({"kernelspec": [], "language_info": 7}, 0),
        ({"kernelspec": {"name": {"a": []}, "language": ["R"]}}, 0),
        ({"kernelspec": {"name": "ir", "language": "R"}}, None),
        ({"kernelspec": {"name": "ir"}}, None),
        ({"kernelspec": {"name": "julia-1.10"}}, None),
        ({"language_info": {"name": "julia"}}, None),
    ],
)
def test_kernels(metadata, outcome):
    if outcome is None:
        with pytest.raises(Unreadable, match="wanted Python"):
            submissions.parse(data("x", **metadata))
    else:
        assert len(submissions.parse(data("x", **metadata))[1]) == outcome


def test_metadata_that_is_no_mapping():
    content = notebook("x")
    content["metadata"] = [1]
    assert submissions.parse(json.dumps(content).encode())[0] == ["x"]


# Zips --------------------------------------------------------------------------------


def test_zip_with_one_notebook():
    members = {
        "work/relu.ipynb": data("x = 1"),
        "work/.ipynb_checkpoints/relu-checkpoint.ipynb": data("old"),
        "__MACOSX/work/._relu.ipynb": b"\0",
        "work/data.csv": "1",
    }
    assert submissions.parse(zipped(members)) == (["x = 1"], [])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (zipped({}), "holds no notebooks"),
        (zipped({"a.csv": "1"}), "holds no notebooks"),
        (zipped({"a.ipynb": "{}", "b.ipynb": "{}"}), "holds 2 notebooks"),
        (zipped({"a.ipynb": zipped({"b.ipynb": "{}"})}), "a zip itself"),
        (zipped({"a.ipynb": b"x" * 100})[:-30], "damaged"),
        (zipped({"a.ipynb": bytes((32 << 20) + 1)}), "larger than 32 MiB"),
        (zipped({"a.ipynb": ""}), "is empty"),
        (zipped({str(i): "" for i in range(10_001)}), "more than 10,000 files"),
        (b"PK\x03\x04" + b"\0" * 50, "damaged"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_zips_that_are_refused(content, reason):
    with pytest.raises(Unreadable, match=reason):
        submissions.parse(content)


def test_zip_slip_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert submissions.parse(zipped({"../../evil.ipynb": data("x")}))[0] == ["x"]
    assert list(tmp_path.iterdir()) == []


def test_encrypted_zip():
    content = bytearray(zipped({"a.ipynb": data("x")}))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(Unreadable, match="encrypted"):
        submissions.parse(bytes(content))


def test_a_size_in_the_header_that_lies():
    """A bomb that says it unpacks to 10 bytes is stopped by what comes out."""
    content = bytearray(zipped({"a.ipynb": bytes(64 << 20)}))
    entry = content.index(b"PK\x01\x02")
    content[entry + 24 : entry + 28] = struct.pack("<I", 10)
    with pytest.raises(Unreadable):
        submissions.parse(bytes(content))


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        (zipfile.ZIP_DEFLATED, "larger than 32 MiB"),
        (zipfile.ZIP_BZIP2, "unusual way"),
        (zipfile.ZIP_LZMA, "unusual way"),
    ],
)
def test_a_bomb_does_not_fill_the_memory(method, reason):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        size = 128 if method == zipfile.ZIP_DEFLATED else 8
        archive.writestr("a.ipynb", bytes(size << 20))
    tracemalloc.start()
    try:
        with pytest.raises(Unreadable, match=reason):
            submissions.parse(buffer.getvalue())
        assert tracemalloc.get_traced_memory()[1] < 110 << 20
    finally:
        tracemalloc.stop()


def test_a_zip_of_very_many_files_is_not_even_listed():
    content = zipped({"a.ipynb": data("x")}) + b"PK\x01\x02" * 10_001
    with pytest.raises(Unreadable, match="more than 10,000 files"):
        submissions.parse(content)


def test_damaged_zips_never_raise_anything_else():
    good = zipped({"a.ipynb": data("x = 1"), "b.txt": "hello"})
    for place in range(len(good)):
        for value in (0, 0xFF, good[place] ^ 0x21):
            broken = good[:place] + bytes([value]) + good[place + 1 :]
            try:
                submissions.parse(broken)
            except Unreadable:
                pass


def test_damaged_notebooks_never_raise_anything_else():
    good = data("x = 1", kernelspec={"name": "python3"})
    for place in range(len(good)):
        for value in b'\0\xff"]}1':
            broken = good[:place] + bytes([value]) + good[place + 1 :]
            try:
                cells, notes = submissions.parse(broken)
            except Unreadable:
                continue
            assert all(isinstance(text, str) for text in cells + notes)
