// Mean over a clip, rounded half up: floor((2 * (sum << shift) + T) / 2T), T the frames of a clip.
//
//   sweep 0   at each frame of the operand: its words are added to a memory of sums, a line a cycle
//   sweep 1   when the clip has ended: the sums are divided, a word a cycle
//
// From the operation on: stage 3 operands and address, 4 old sums (written back with the words, or
// one selected), 5 numerator, 6 its magnitude (floors of negative numbers are complements of floors of
// complements), then the divider's steps, at most 64. One cycle lies between the sweeps, since what
// stage 4 writes stage 3 reads. The clip's last frame, with the frames of its flush, takes
//
//   joints * ceil(channels / LANES) + 1 + joints * channels + 66 (+ 11 as every pass)
module clip_mean #(
`include "engine_params.svh"
) (
    input  logic                       clk,
    input  logic                       rst,
    input  logic                       enable,
    input  logic [      PASS_BITS-1:0] pass_word,
    input  logic                       pass_start,
    input  logic                       op_valid,   // stage 0
    input  logic [                1:0] op_sweep,
    input  logic                       op_last,    // of its line
    input  logic                       op_end,     // of its sweep
    input  logic                       further,    // the frame is not the clip's first
    input  logic [      TIME_BITS-1:0] total_frames,  // of the input
    input  logic [LANES*READ_BITS-1:0] operands,   // stage 3
    output logic                       result,     // a line of words comes in the next cycle
    output logic [ LANES*ACC_BITS-1:0] words
);
`include "pass_fields.svh"

  // ---- operations on their way
  logic [6:1] adds, reads, lasts, ends;
  always_ff @(posedge clk)
    if (rst) {adds, reads} <= '0;
    else if (enable) begin
      adds  <= {adds[5:1], op_valid && is_clip_mean && op_sweep == 0};
      reads <= {reads[5:1], op_valid && is_clip_mean && op_sweep == 1};
      lasts <= {lasts[5:1], op_last};
      ends  <= {ends[5:1], op_end};
    end

  // ---- stages 3 and 4: sums; frames of the operand in the clip
  logic [M_ADDR_BITS-1:0] line3, line4;
  logic [LANE_BITS-1:0] lane3, lane4;
  logic [MEAN_COUNT_BITS-1:0] frames;
  logic [LANES*MEAN_SUM_BITS-1:0] held4, added4;
  logic [LANES*MEAN_X_BITS-1:0] x4;
  always_ff @(posedge clk)
    if (enable) begin
      line4 <= line3;
      lane4 <= lane3;
      if (pass_start) begin
        line3 <= mean_base;
        lane3 <= '0;
      end else if (adds[3] || reads[3]) begin
        lane3 <= lasts[3] ? '0 : lane3 + 1;
        if (lasts[3]) line3 <= ends[3] ? mean_base : line3 + 1;
      end
      frames <= MEAN_COUNT_BITS'((total_frames + period_mask) >> mean_period);
    end
  ram #(.WIDTH(LANES * MEAN_SUM_BITS), .DEPTH(MEAN_LINES), .ADDR_BITS(M_ADDR_BITS)) u_sums (
      .clk, .write(enable && adds[4]), .write_addr(line4), .write_data(added4),
      .read(enable), .read_addr(line3), .read_data(held4)
  );
  for (genvar n = 0; n < LANES; n++) begin : g_lanes
    logic signed [MEAN_SUM_BITS-1:0] held, word;
    assign held = further ? held4[n*MEAN_SUM_BITS+:MEAN_SUM_BITS] : '0;
    assign word = MEAN_SUM_BITS'($signed(x4[n*MEAN_X_BITS+:MEAN_X_BITS]));
    always_ff @(posedge clk)
      if (enable) x4[n*MEAN_X_BITS+:MEAN_X_BITS] <= operands[n*READ_BITS+:MEAN_X_BITS];
    assign added4[n*MEAN_SUM_BITS+:MEAN_SUM_BITS] = held + word;
  end

  // ---- stages 5 and 6: the numerator; then its quotient
  logic signed [MEAN_SUM_BITS-1:0] sum4;
  logic signed [MEAN_BITS:0] numerator5;
  logic negative6, done;
  logic [MEAN_BITS-1:0] magnitude6;
  logic [1:0] done_tag;
  logic [MEAN_BITS:0] quotient;
  logic signed [MEAN_BITS:0] word;
  assign word = quotient ^ {(MEAN_BITS + 1){done_tag[1]}};
  assign sum4 = held4[32'(lane4)*MEAN_SUM_BITS+:MEAN_SUM_BITS];
  always_ff @(posedge clk)
    if (enable) begin
      numerator5 <= ((MEAN_BITS + 1)'(sum4) <<< mean_shift <<< 1)
                  + (MEAN_BITS + 1)'($signed({1'b0, frames}));
      negative6  <= numerator5[MEAN_BITS];
      magnitude6 <= numerator5[MEAN_BITS-1:0] ^ {MEAN_BITS{numerator5[MEAN_BITS]}};
    end
  divider #(.WIDTH(MEAN_COUNT_BITS + 1), .MOST_BITS(MEAN_BITS), .TAG_BITS(2)) u_divider (
      .clk, .rst, .enable, .bits(6'(MEAN_BITS)), .valid(reads[6]), .tag({negative6, lasts[6]}),
      .number('0), .tail(magnitude6), .by({frames, 1'b0}), .done, .done_tag, .quotient
  );
  gather #(.LANES(LANES), .WIDTH(ACC_BITS)) u_gather (
      .clk, .rst, .enable, .valid(done), .last(done_tag[0]),
      .word(ACC_BITS'(word)), .result, .words
  );
endmodule
