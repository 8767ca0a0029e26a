"""Skeletons and adjacency partitions, as the float reference uses them (defined in fxp)."""

from fxp.skeleton import Skeleton, hop_distances, load_skeleton, partitions, skeleton_names

__all__ = ["Skeleton", "hop_distances", "load_skeleton", "partitions", "skeleton_names"]
