"""Stress cases as golden bundles: a folder with a bundle per case, and a list of their purposes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fxp.errors import InputError
from fxp.files import replacing_folder
from fxp.golden import bundle_files, tool_version, write_bundle
from fxp.ir import Graph
from fxp.listed_folder import check_replaceable
from fxp.node_fields import kind_of
from fxp.store import graph_hash
from fxp.stress import Stress, stress_plan

LIST = "stress.json"
FORMAT = "stgcn-codesign-stress"


def write_stress(
    graph: Graph, out: Path, nodes: Sequence[str] | None = None, lanes: int = 1
) -> dict[str, Any]:
    """Write a golden bundle of every stress case as `out/<node>`, the state after its last frame.

    A node's second case is `<node>.2`.

    Args:
        graph: the network.
        out: the folder; an empty one or older stress bundles there are replaced.
        nodes: those wanted; None for all accumulators and argmaxes.
        lanes: of the bundles.

    Returns:
        The list as `stress.json` holds it: per case its bundle, node, kind of node, extremes,
        frames and purposes; the nodes without a case and why; every file.

    Raises:
        GraphError: the graph breaks a rule of the IR, or could exceed its accumulators.
        InputError: a node that is no accumulator nor argmax or has no case, lanes that cannot be,
            or `out` is something else than stress bundles; nothing is written then.
    """
    plan = stress_plan(graph)
    have = {case.node for case in plan.cases}
    for name in nodes or ():
        if name in plan.without:
            raise InputError(f"node `{name}` has no stress case: {plan.without[name]}")
        if name not in have:
            raise InputError(f"{name!r:.80} is no accumulator of graph `{graph.name}`")
    check_replaceable(out, LIST, FORMAT, "a folder of stress bundles")
    wanted = [case for case in plan.cases if nodes is None or case.node in nodes]
    with replacing_folder(out) as folder:
        cases, used = [], set[str]()
        for case in wanted:
            name, again = case.node, 2
            while name.lower() in used:  # on some systems it would be the same folder
                name, again = f"{case.node}.{again}", again + 1
            used.add(name.lower())
            cases.append(_write(case, folder, name, lanes))
        listed = {
            "format": FORMAT,
            "tool_version": tool_version(),
            "graph_hash": graph_hash(graph),
            "cases": cases,
            "without": dict(plan.without),
            "files": [{"file": file} for file in bundle_files(folder)],
        }
        (folder / LIST).write_text(f"{json.dumps(listed, indent=1)}\n", encoding="ascii")
    return listed


def _write(case: Stress, folder: Path, name: str, lanes: int) -> dict[str, Any]:
    node = next(node for node in case.graph.nodes if node.name == case.node)
    facts = {
        "node": case.node,
        "kind": kind_of(node),
        "lowest": case.lo,
        "highest": case.hi,
        "frames": len(case.clip),
        "purposes": dict(case.purposes),
    }
    last = [len(case.clip) - 1]
    write_bundle(
        case.graph,
        case.clip,
        folder / name,
        lanes=lanes,
        snapshots=last,
        provenance={"stress": facts},
    )
    return {"bundle": name, **facts}
