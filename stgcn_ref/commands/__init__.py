"""The commands of `python -m stgcn_ref`, one module each; none loads torch before it must."""
