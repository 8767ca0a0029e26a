import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fxp.archive import load_arrays, save_arrays
from fxp.errors import InputError
from fxp.store import GRAPH_KIND, graph_hash, load_graph, save_graph
from tests.forging import Forgery, forge, parts, refused, small_graph

SAME_FOLDER = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60
)


ENDLESS: list[Any] = []
ENDLESS.append(ENDLESS)


def test_arrays_come_back_and_bytes_are_equal(tmp_path: Path) -> None:
    header = {"kind": "test", "a": [1, 2.5, None, {"b": "ü\ud800"}], "t": (True, "x")}
    arrays = {
        "z": np.array(3.25),
        "block0.conv.weight": np.arange(6, dtype=np.int16).reshape(2, 3).T,
        "empty": np.zeros((0, 4), np.float32),
    }
    first, second = tmp_path / "a.fxp", tmp_path / "b.fxp"
    save_arrays(first, header, arrays)
    save_arrays(second, header, dict(reversed(arrays.items())))
    assert first.read_bytes() == second.read_bytes()
    found, loaded = load_arrays(first, "test")
    assert found == {**header, "t": [True, "x"]}
    assert loaded.keys() == arrays.keys()
    for name, array in arrays.items():
        assert loaded[name].dtype == array.dtype
        assert loaded[name].shape == array.shape
        assert np.array_equal(loaded[name], array)
    with np.load(first) as plain:  # readable without this package
        assert np.array_equal(plain["block0.conv.weight"], arrays["block0.conv.weight"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.fxp", "b.fxp"]


@pytest.mark.parametrize(
    ("header", "arrays", "message"),
    [
        ({"a": 1}, {}, "header: `kind` must be a string, got None"),
        ({"kind": "k", "a": float("nan")}, {}, "header.a: must be a finite number, got nan"),
        ({"kind": "k", "a": [1, float("inf")]}, {}, r"header.a[1]: must be a finite number"),
        ({"kind": "k", "a": {1: 2}}, {}, "header.a: keys must be strings, got 1"),
        ({"kind": "k", "a": {"b": object()}}, {}, "header.a.b: must be JSON data, got object"),
        ({"kind": "k", "a": ENDLESS}, {}, ": nested too deep"),
        ({"kind": "k"}, {"../x": np.zeros(1)}, "array name '../x' must be dotted words"),
        ({"kind": "k"}, {"/x": np.zeros(1)}, "array name '/x' must be dotted words"),
        ({"kind": "k"}, {"x": np.array([None])}, "array x: dtype object is not one of"),
        ({"kind": "k"}, {"x": np.array(["a"])}, "array x: dtype <U1 is not one of"),
    ],
)
def test_what_cannot_be_stored(
    tmp_path: Path, header: Any, arrays: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError) as caught:
        save_arrays(tmp_path / "a.fxp", header, arrays)
    assert message in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_the_deepest_header_comes_back(tmp_path: Path) -> None:
    deep: Any = 1
    for _ in range(63):
        deep = [deep]
    save_arrays(tmp_path / "a.fxp", {"kind": "k", "deep": deep}, {})
    assert load_arrays(tmp_path / "a.fxp") == ({"kind": "k", "deep": deep}, {})
    with pytest.raises(InputError, match="nested too deep"):
        save_arrays(tmp_path / "a.fxp", {"kind": "k", "deep": [deep]}, {})


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.fxp: cannot be written \(No such file"):
        save_graph(small_graph(), tmp_path / "no" / "a.fxp")
    with pytest.raises(InputError, match=r"a\.fxp: no such file"):
        load_graph(tmp_path / "a.fxp")
    with pytest.raises(InputError, match="not a readable model file"):
        load_graph(tmp_path)


def test_a_failed_save_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.fxp"
    save_graph(small_graph(), path)
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"meta\.x: must be JSON data, got ndarray"):
        save_graph(small_graph(meta={"x": np.zeros(2)}), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.fxp"]


def header_key(key: str, value: Any) -> Forgery:
    return lambda header, _: header.__setitem__(key, value)


def array_entry(key: str, value: Any) -> Forgery:
    return lambda header, _: header["arrays"]["conv.bias"].__setitem__(key, value)


def npy(array: Any, version: tuple[int, int] = (1, 0)) -> bytes:

    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asarray(array), version=version)
    return stream.getvalue()


def put(name: str, data: bytes) -> Forgery:
    return lambda _, members: members.__setitem__(name, data)


BIAS = [0, 1000, -70000]
CONTAINERS: list[tuple[Forgery, str]] = [
    (header_key("format", "zip"), "not a model file (`format` is not 'stgcn-codesign-model')"),
    (header_key("version", 2), "`version` must be 1, got 2"),
    (header_key("kind", "fxp-floatnet"), "`kind` must be 'fxp-graph', got 'fxp-floatnet'"),
    (header_key("kind", None), "`kind` must be 'fxp-graph', got None"),
    (header_key("more", 1), "header.json must have the keys arrays, content, content_hash"),
    (header_key("content", []), "`content` and `arrays` must be objects"),
    (header_key("content_hash", "0" * 64), "content hash does not match: the file was altered"),
    (array_entry("dtype", "object"), "array 'conv.bias': unknown dtype 'object'"),
    (array_entry("dtype", "O"), "array 'conv.bias': unknown dtype 'O'"),
    (array_entry("dtype", "float64"), "header declares float64[3], found int32[3]"),
    (array_entry("shape", [4]), "header declares int32[4], found int32[3]"),
    (array_entry("shape", [-3]), "`shape` must be a list of sizes, got [-3]"),
    (array_entry("shape", [True]), "`shape` must be a list of sizes, got [True]"),
    (array_entry("more", 1), "array 'conv.bias' must declare `dtype` and `shape`"),
    (lambda h, _: h["arrays"].pop("conv.bias"), "member 'conv.bias.npy' is not in the header"),
    (lambda _, m: m.pop("conv.bias.npy"), "member conv.bias.npy is missing"),
    (put("conv.other.npy", npy(BIAS)), "member 'conv.other.npy' is not in the header"),
    (put("../up.npy", npy(BIAS)), "not a model file (member '../up.npy')"),
    (put("/etc/x.npy", npy(BIAS)), "not a model file (member '/etc/x.npy')"),
    (put("run.py", b"boom"), "not a model file (member 'run.py')"),
    (put("conv.bias.npy", b"short"), "not a readable model file (ValueError:"),
    (put("conv.bias.npy", npy(BIAS, (2, 0))), "member conv.bias.npy: .npy version must be 1.0"),
    (put("conv.bias.npy", npy(np.array(BIAS, np.int32))[:-1]), "12 bytes are needed, found 11"),
    (put("conv.bias.npy", npy(np.array(BIAS, np.int32)) + b"x"), "12 bytes are needed, found 13"),
    (put("conv.bias.npy", npy(np.array(BIAS, np.int32) + 1)), "content hash does not match"),
]


@pytest.mark.parametrize(("forgery", "message"), CONTAINERS)
def test_containers_that_no_writer_makes(tmp_path: Path, forgery: Forgery, message: str) -> None:
    path = tmp_path / "g.fxp"
    save_graph(small_graph(), path)
    header, members = parts(path)
    forgery(header, members)
    forge(path, header, members, rehash=False)
    assert message in refused(path)


def test_an_array_of_objects_is_never_unpickled(tmp_path: Path) -> None:

    path = tmp_path / "g.fxp"
    save_graph(small_graph(), path)
    header, members = parts(path)
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.array([None] * 3), allow_pickle=True)
    members["conv.bias.npy"] = stream.getvalue()
    forge(path, header, members, rehash=False)
    assert "header declares int32[3], found object[3]" in refused(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "header.json: not valid JSON (JSONDecodeError: "),
        ('{"format": NaN}', "header.json: not valid JSON (ValueError: NaN is not JSON)"),
        ('{"format": 1e999}', "header.json: not valid JSON (ValueError: 1e999 is out of range)"),
        ('{"a": 1, "a": 2}', "header.json: not valid JSON (ValueError: a key is there twice)"),
        ("[" * 100_000, "header.json: not valid JSON (RecursionError: "),
        ("[" * 500 + "]" * 500, "header.json: nested too deep"),
        ("9" * 5000, "header.json: not valid JSON (ValueError: Exceeds the limit"),
        ("[]", "not a model file (`format` is not"),
        ("\udcff", "header.json: not valid JSON (UnicodeDecodeError: "),
    ],
)
def test_headers_that_are_no_json(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "g.fxp"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("header.json", text.encode("utf-8", "surrogateescape"))
    assert message in refused(path)


def test_zip_bombs_and_foreign_zips(tmp_path: Path) -> None:
    path = tmp_path / "g.fxp"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", b" " * 10_000_000)
    assert refused(path) == "member header.json is compressed or encrypted"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert refused(path) == "not a model file (member 'readme.txt')"
    with zipfile.ZipFile(path, "w"):
        pass
    assert refused(path) == "not a model file (no member header.json)"
    with zipfile.ZipFile(path, "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("header.json", "{}")
        archive.writestr("header.json", "{}")
    assert refused(path) == "member header.json is there twice"


def test_sizes_that_exceed_the_file(tmp_path: Path) -> None:
    path = tmp_path / "g.fxp"
    save_graph(small_graph(), path)
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x01\x02")  # last central directory entry: its two sizes
    data[at + 20 : at + 28] = (2**31 - 2).to_bytes(4, "little") * 2
    path.write_bytes(data)
    assert refused(path) == "declared member sizes exceed the file"


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "g.fxp"
    save_graph(small_graph(), path)
    data = path.read_bytes()
    for size in range(len(data)):
        path.write_bytes(data[:size])
        refused(path)


@SAME_FOLDER
@given(st.data())
def test_altered_bytes_never_change_the_network(tmp_path: Path, data: st.DataObject) -> None:
    """Any flipped bit is refused in one line, but for bytes of the zip that nothing reads."""
    path = tmp_path / "g.fxp"
    graph = small_graph()
    save_graph(graph, path)
    text = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(text) - 1))
    text[at] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(text)
    try:
        found = load_graph(path)
    except InputError as error:
        assert str(error).startswith(f"{path}: ")
        assert "\n" not in str(error)
    else:
        assert graph_hash(found) == graph_hash(graph)
        assert found.meta == graph.meta


def test_a_file_of_another_kind(tmp_path: Path) -> None:
    path = tmp_path / "g.fxp"
    save_arrays(path, {"kind": "fxp-floatnet"}, {})
    assert refused(path) == f"`kind` must be {GRAPH_KIND!r}, got 'fxp-floatnet'"
