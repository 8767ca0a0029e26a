"""Folders of others' files in a golden bundle: listed, hashed, verified, replaced with it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fxp.bundle import attachment_of, open_bundle
from fxp.errors import InputError
from fxp.golden import write_bundle
from fxp.manifest import MANIFEST, Attachment, manifest_sha256, render
from fxp.verify import verify_bundle
from tests.forging import small_graph

FILES = {"a.txt": b"one\n", "deep/er/b.bin": b"\x00\xff"}
EXTRA = Attachment("extra", {"what": [1, "two"]}, FILES, {"a.txt": {"words": 1}})
CLIP = np.arange(-9, 9).reshape(3, 2, 3)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    write_bundle(small_graph(), CLIP, tmp_path / "bundle", attachments=[EXTRA])
    return tmp_path / "bundle"


def test_attached_files_are_there_listed_and_verified(bundle: Path) -> None:
    for name, text in FILES.items():
        assert (bundle / "extra" / name).read_bytes() == text
    manifest = json.loads((bundle / MANIFEST).read_bytes())
    first, second = manifest["attached"]
    assert (first["file"], first["words"], first["bytes"]) == ("extra/a.txt", 1, 4)
    assert (second["file"], second["bytes"]) == ("extra/deep/er/b.bin", 2)
    assert attachment_of(bundle, "extra") == {"what": [1, "two"]}
    assert verify_bundle(bundle).mismatches == ()
    assert open_bundle(bundle)[1] == 2 + len(manifest["files"]) + 2


def test_a_bundle_without_attachments_has_no_word_of_them(tmp_path: Path) -> None:
    manifest = write_bundle(small_graph(), CLIP, tmp_path / "plain")
    assert not {"attachments", "attached"} & manifest.keys()
    with pytest.raises(InputError, match="plain: has no folder `extra`"):
        attachment_of(tmp_path / "plain", "extra")


def altered(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"one", b"two"))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (altered, r"extra/a\.txt: the file was altered"),
        (Path.unlink, r"extra/a\.txt: file is missing"),
        (lambda path: path.with_name("c").touch(), "extra/c: file is not listed"),
    ],
)
def test_damage_in_an_attachment_is_damage(
    bundle: Path, spoil: Callable[[Path], object], message: str
) -> None:
    spoil(bundle / "extra" / "a.txt")
    with pytest.raises(InputError, match=message):
        open_bundle(bundle)


def forge(bundle: Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((bundle / MANIFEST).read_bytes())
    change(manifest)
    manifest["manifest_sha256"] = manifest_sha256(manifest)
    (bundle / MANIFEST).write_bytes(render(manifest))


def test_a_manifest_lists_attached_files_below_its_folders_only(bundle: Path) -> None:
    forge(bundle, lambda manifest: manifest["attachments"].pop("extra"))
    with pytest.raises(InputError, match=r"has extra/a\.txt, which is in no folder attached"):
        open_bundle(bundle)


def test_a_file_of_the_bundle_is_no_attachment(bundle: Path) -> None:
    def claim(manifest: dict[str, Any]) -> None:
        manifest["attachments"]["values"] = {}
        manifest["attached"].append(manifest["files"][-1])

    forge(bundle, claim)
    with pytest.raises(InputError, match=r"`attached` has values/.*, a file of the bundle itself"):
        open_bundle(bundle)


@pytest.mark.parametrize("value", [["extra"], None])
def test_attachments_of_another_type_are_refused(bundle: Path, value: object) -> None:
    forge(bundle, lambda manifest: manifest.update(attachments=value))
    with pytest.raises(InputError, match="`attachments` must be an object, `attached` a list"):
        open_bundle(bundle)


def test_a_bundle_with_attachments_is_replaced_whole(bundle: Path) -> None:
    write_bundle(small_graph(), CLIP, bundle)
    assert not (bundle / "extra").exists() and verify_bundle(bundle).mismatches == ()
    write_bundle(small_graph(), CLIP, bundle, attachments=[EXTRA])
    (bundle / "extra" / "mine.txt").touch()
    with pytest.raises(InputError, match=r"extra/mine\.txt is no file of the bundle there"):
        write_bundle(small_graph(), CLIP, bundle)


@pytest.mark.parametrize("folder", ["values", "state"])
def test_an_attachment_cannot_take_a_folder_of_the_bundle(tmp_path: Path, folder: str) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        write_bundle(
            small_graph(), CLIP, tmp_path / "b", attachments=[Attachment(folder, {}, FILES, {})]
        )
    assert list(tmp_path.iterdir()) == []


def test_what_json_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"attachments\.attachments\.extra\.x: must be a finite"):
        attachment = Attachment("extra", {"x": float("nan")}, {}, {})
        write_bundle(small_graph(), CLIP, tmp_path / "b", attachments=[attachment])
