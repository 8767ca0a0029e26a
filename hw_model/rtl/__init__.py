"""The accelerator in SystemVerilog, and what turns a network into its program and memories."""
