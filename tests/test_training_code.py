"""The lists of deciding code leave out nothing of the package that the deciding code imports."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from stgcn_ref.training_code import EXPORT_CODE, QAT_CODE, TRAINING_CODE

ROOT = Path(__file__).parents[1]


def _files(name: str) -> list[Path]:
    path = ROOT.joinpath(*name.split("."))
    return sorted(path.glob("*.py")) if path.is_dir() else [path.with_suffix(".py")]


def _imports(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {node.module for node in nodes if node.module and node.module.startswith("stgcn_ref.")}


@pytest.mark.parametrize("names", [TRAINING_CODE, EXPORT_CODE, QAT_CODE])
def test_lists_are_closed_under_imports(names: tuple[str, ...]) -> None:
    for name in names:
        for file in _files(name):
            for module in _imports(file):
                listed = module in names or module.rpartition(".")[0] in names
                assert listed, f"{file.name} imports {module}, which is not in the list"
