// The engine behind AXI4-Stream ports (AMBA 4, ARM IHI 0051A): the same lines, in whole bytes.
//
// A line's words are packed tight, lane 0 in the least significant bits; what is left of the last byte
// is zero on the way out and ignored on the way in. `s_axis_tlast` marks a clip's last line,
// `m_axis_tlast` the last line of an output's frame, `m_axis_tuser` says which output it is.
module engine_axis #(
`include "engine_params.svh"
,
    parameter int S_BYTES = (LANES * IN_BITS + 7) / 8,
    parameter int M_BYTES = (LANES * OUT_BITS + 7) / 8
) (
    input  logic                      aclk,
    input  logic                      aresetn,
    input  logic                      boot_valid,
    input  logic [               2:0] boot_memory,
    input  logic [BOOT_ADDR_BITS-1:0] boot_addr,
    input  logic [     BOOT_BITS-1:0] boot_data,
    output logic                      fetch_valid,
    input  logic                      fetch_ready,
    output logic [    FETCH_BITS-1:0] fetch_line,
    output logic [     TILE_BITS-1:0] fetch_last,
    input  logic                      line_valid,
    input  logic [  LANES*W_BITS-1:0] line_data,
    input  logic                      s_axis_tvalid,
    output logic                      s_axis_tready,
    input  logic [     8*S_BYTES-1:0] s_axis_tdata,
    input  logic                      s_axis_tlast,
    output logic                      m_axis_tvalid,
    input  logic                      m_axis_tready,
    output logic [     8*M_BYTES-1:0] m_axis_tdata,
    output logic [       M_BYTES-1:0] m_axis_tkeep,
    output logic                      m_axis_tlast,
    output logic [   OUT_ID_BITS-1:0] m_axis_tuser,
    output logic                      frame_done
);
  logic [LANES*OUT_BITS-1:0] out_data;
  assign m_axis_tdata = (8 * M_BYTES)'(out_data);
  assign m_axis_tkeep = '1;

  engine u_engine (
      .clk(aclk), .rst(!aresetn),
      .boot_valid, .boot_memory, .boot_addr, .boot_data,
      .fetch_valid, .fetch_ready, .fetch_line, .fetch_last, .line_valid, .line_data,
      .in_valid(s_axis_tvalid), .in_ready(s_axis_tready),
      .in_data(s_axis_tdata[LANES*IN_BITS-1:0]), .in_last(s_axis_tlast),
      .out_valid(m_axis_tvalid), .out_ready(m_axis_tready), .out_data,
      .out_id(m_axis_tuser), .out_last(m_axis_tlast), .frame_done
  );
endmodule
