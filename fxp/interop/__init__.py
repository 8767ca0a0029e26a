"""Integer networks in the formats of other tools, and where their words would differ."""
