"""Bugs of units that are tried alone: last bits, tiles of weights, AXI4-Stream ports.

Of many last bits no run of a whole network sees anything: the next cast hides them.
"""

from __future__ import annotations

from collections.abc import Mapping

from tests.rtl_planting import Edit, UnitBug, unit_bug

LAST_BITS: Mapping[str, UnitBug] = {
    "divisor that fits exactly does not": unit_bug(
        "divider, every word",
        "divider",
        "rest >= {1'b0, divisor}",
        "rest > {1'b0, divisor}",
        "softmax-wide",
    ),
    "last digit is zero": unit_bug(
        "divider, as softmaxes have it",
        "divider",
        "digits_q  <= {known[MOST_BITS-1:0], fits};",
        "digits_q  <= {known[MOST_BITS-1:0], fits && i < MOST_BITS};",
    ),
    "last digit is one": unit_bug(
        "divider, as softmaxes have it",
        "divider",
        "digits_q  <= {known[MOST_BITS-1:0], fits};",
        "digits_q  <= {known[MOST_BITS-1:0], fits || i == MOST_BITS};",
    ),
    "tail's last bit is lost": unit_bug(
        "divider, as means have it",
        "divider",
        "{1'b0, tail} << i",
        "{1'b0, tail & ~MOST_BITS'(1)} << i",
        "clip-mean",
    ),
    "rest one bit too narrow": unit_bug(
        "divider, as softmaxes have it",
        "divider",
        "rest_q    <= {less[WIDTH-1:0],",
        "rest_q    <= {1'b0, less[WIDTH-2:0],",
    ),
    "steps run on in a stall": unit_bug(
        "divider, every word",
        "divider",
        "      if (enable) begin\n        tag_q",
        "      begin\n        tag_q",
        "softmax-wide",
    ),
    "root rounded": unit_bug(
        "root, drawn",
        "reciprocal_root",
        "next_root = product >>> 19;",
        "next_root = (product + PRODUCT_BITS'(1 << 18)) >>> 19;",
    ),
    "square of a root rounded": unit_bug(
        "root, drawn",
        "reciprocal_root",
        "          b <= B_BITS'(product >>> 18);",
        "          b <= B_BITS'((product + PRODUCT_BITS'(1 << 17)) >>> 18);",
        "layer-norm-wide",
    ),
    "product short of three by one": unit_bug(
        "root, drawn",
        "reciprocal_root",
        "b <= B_BITS'(3 << 18) - B_BITS'(product >>> 18);",
        "b <= B_BITS'(3 << 18) + ~B_BITS'(product >>> 18);",
    ),
    "mantissa without its last bit": unit_bug(
        "root, drawn",
        "reciprocal_root",
        "aligned[2*PAIRS-1-:18];",
        "{aligned[2*PAIRS-1-:17], 1'b0};",
        "layer-norm-wide",
    ),
    "mantissa rounded up": unit_bug(
        "root, ends of seeds",
        "reciprocal_root",
        "aligned[2*PAIRS-1-:18];",
        "aligned[2*PAIRS-1-:18] + 18'(aligned[2*PAIRS-19]);",
    ),
    "exponential rounded down": unit_bug(
        "shares, every distance",
        "softmax",
        "SHARE_ENTRY_BITS'((product6 + half) >> exp_bits)",
        "SHARE_ENTRY_BITS'(product6 >> exp_bits)",
        "softmax-wide",
    ),
    "ties of exponentials go down": unit_bug(
        "shares, any table",
        "softmax",
        "assign half        = PRODUCT_BITS'(1) << (exp_bits - 1);",
        "assign half        = (PRODUCT_BITS'(1) << (exp_bits - 1)) - 1;",
        "softmax-wide",
    ),
    "last of the coarse entries is not reached": unit_bug(
        "shares, any table",
        "softmax",
        "? coarse_last : block4[C_ADDR_BITS-1:0]);",
        "? coarse_last - 1'b1 : block4[C_ADDR_BITS-1:0]);",
    ),
    "sum of exponentials without its last bit": unit_bug(
        "shares, every distance",
        "softmax",
        "by8     <= sum7;",
        "by8     <= sum7 & ~SHARE_SUM_BITS'(1);",
        "softmax-wide",
    ),
    "ties of means go down": unit_bug(
        "means, every sum of 2",
        "clip_mean",
        "(MEAN_BITS + 1)'($signed({1'b0, frames}));",
        "(MEAN_BITS + 1)'($signed({1'b0, frames})) - 1;",
        "clip-mean",
    ),
    "ties of negative means go away from zero": unit_bug(
        "means, every sum of 4",
        "clip_mean",
        "(MEAN_BITS + 1)'($signed({1'b0, frames}));",
        "(MEAN_BITS + 1)'($signed({1'b0, frames})) - (MEAN_BITS + 1)'(sum4[MEAN_SUM_BITS-1]);",
        "clip-mean",
    ),
    "negative means towards zero": unit_bug(
        "means, every sum of 3",
        "clip_mean",
        "quotient ^ {(MEAN_BITS + 1){done_tag[1]}}",
        "done_tag[1] ? -quotient : quotient",
        "clip-mean",
    ),
    "ties of norms go down": unit_bug(
        "norms, ties",
        "layer_norm",
        "assign half = (ROUND_BITS'(1) << drop) >> 1;",
        "assign half = ((ROUND_BITS'(1) << drop) >> 1) - 1;",
        "layer-norm-wide",
    ),
}

TILES: Mapping[str, UnitBug] = {
    "the other buffer is read": unit_bug(
        "tiles, as they like", "tiles", "tile_side   = done[0];", "tile_side   = !done[0];"
    ),
    "one buffer for all tiles": unit_bug(
        "tiles, as they like", "tiles", "side <= asked[0];", "side <= 1'b0;"
    ),
    "next tile begins a line early": unit_bug(
        "tiles, as they like",
        "tiles",
        "fetch_line + FETCH_BITS'(tile_last) + 1;",
        "fetch_line + FETCH_BITS'(tile_last);",
    ),
    "tile a line short": unit_bug(
        "tiles, as they like",
        "tiles",
        "last_line   = write && filled == tile_last;",
        "last_line   = write && (tile_last == 0 || filled == tile_last - 1);",
    ),
    "request repeated": unit_bug(
        "tiles, as they like",
        "tiles",
        "          fetch_line <= fetch_line + FETCH_BITS'(tile_last) + 1;\n",
        "",
    ),
    "tile ready once it is asked for": unit_bug(
        "tiles, as they like", "tiles", "tile_ready  = came > done;", "tile_ready  = asked > done;"
    ),
    "request taken for granted": unit_bug(
        "tiles, as they like",
        "tiles",
        "if (fetch_valid && fetch_ready) begin",
        "if (fetch_valid) begin",
    ),
    "tile into a buffer in use": unit_bug(
        "tiles, as they like", "tiles", "asked < done + 2\n", "asked < done + 3\n"
    ),
    "one tile at a time": unit_bug(
        "tiles, every cycle", "tiles", "asked < done + 2\n", "asked < done + 1\n"
    ),
    "a tile more than there are blocks": unit_bug(
        "tiles, as they like",
        "tiles",
        "asked <= {1'b0, blocks_last} &&",
        "asked <= {1'b0, blocks_last} + 1 &&",
    ),
    "lines counted on in the next tile": unit_bug(
        "tiles, as they like",
        "tiles",
        "          filled <= '0;\n",
        "          if (asked == 0) filled <= '0;\n",
    ),
    "block counted in a stall": unit_bug(
        "tiles, as they like",
        "tiles",
        "if (enable && block_done) begin",
        "if (block_done) begin",
    ),
    "buffer written while a stall keeps its last line": unit_bug(
        "tiles, as they like",
        "tiles",
        "\n                     && !(reading && !enable && asked == done + 1);",
        ";",
    ),
    "request taken back in a stall": unit_bug(
        "tiles, as they like",
        "tiles",
        "!(reading && !enable && asked == done + 1)",
        "!(reading && !enable)",
    ),
}

AXIS: Mapping[str, UnitBug] = {
    "every line in is a clip's last": unit_bug(
        "axis", "engine_axis", ".in_last(s_axis_tlast)", ".in_last(1'b1)"
    ),
    "no line in is a clip's last": unit_bug(
        "axis", "engine_axis", ".in_last(s_axis_tlast)", ".in_last(1'b0)"
    ),
    "words at the top of a transfer in": unit_bug(
        "axis",
        "engine_axis",
        "s_axis_tdata[LANES*IN_BITS-1:0]",
        "s_axis_tdata[8*S_BYTES-1-:LANES*IN_BITS]",
    ),
    "words at the top of a transfer out": unit_bug(
        "axis",
        "engine_axis",
        "(8 * M_BYTES)'(out_data);",
        "(8 * M_BYTES)'(out_data) << (8 * M_BYTES - LANES * OUT_BITS);",
    ),
    "bytes swapped": unit_bug(
        "axis",
        "engine_axis",
        "assign m_axis_tdata = (8 * M_BYTES)'(out_data);",
        "for (genvar n = 0; n < M_BYTES; n++) begin : g_bytes\n"
        "    wire [8*M_BYTES-1:0] wide = (8 * M_BYTES)'(out_data);\n"
        "    assign m_axis_tdata[n*8+:8] = wide[(M_BYTES-1-n)*8+:8];\n"
        "  end",
    ),
    "last byte filled with a sign": unit_bug(
        "axis", "engine_axis", "(8 * M_BYTES)'(out_data);", "(8 * M_BYTES)'($signed(out_data));"
    ),
    "last byte is not kept": unit_bug(
        "axis",
        "engine_axis",
        "m_axis_tkeep = '1;",
        "m_axis_tkeep = M_BYTES'({M_BYTES{1'b1}} >> 1);",
    ),
    "tready of the outputs ignored": unit_bug(
        "axis", "engine_axis", ".out_ready(m_axis_tready)", ".out_ready(1'b1)"
    ),
    "tvalid of the input ignored": unit_bug(
        "axis", "engine_axis", ".in_valid(s_axis_tvalid)", ".in_valid(1'b1)"
    ),
    "tready of the input always high": UnitBug(
        "axis",
        (
            Edit("engine_axis.sv", ".in_ready(s_axis_tready)", ".in_ready()"),
            Edit(
                "engine_axis.sv",
                "assign m_axis_tkeep",
                "assign s_axis_tready = 1'b1;\n  assign m_axis_tkeep",
            ),
        ),
    ),
    "tlast of the last transfer alone": unit_bug(
        "axis",
        "engine_axis",
        ".out_last(m_axis_tlast), .frame_done\n",
        ".out_last(), .frame_done\n",
    ),
    "weights from outside unasked": unit_bug(
        "axis, weights from outside", "engine_axis", ".fetch_ready, ", ".fetch_ready(1'b1), "
    ),
}

UNIT_BUGS: Mapping[str, UnitBug] = {**LAST_BITS, **TILES, **AXIS}
