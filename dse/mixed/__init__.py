"""Mixed precision: the width of every layer, chosen by measured loss and modelled cost."""
