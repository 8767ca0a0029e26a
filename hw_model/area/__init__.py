"""How large an accelerator is: look-up tables, registers, DSP and memory blocks, or cell area."""
