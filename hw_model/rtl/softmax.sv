// Softmax over the channels of each joint, one word a cycle, in three sweeps over the words of a
// frame (group by group, joint by joint, lane by lane):
//
//   sweep 0   the largest word of each joint
//   sweep 1   e = exponential of the distance to it, by two tables; their sum for each joint
//   sweep 2   e again, floor((e << share_bits) / sum); LANES of them make a line of results
//
// From the operation of a word on: stage 3 operand, 4 distance, 5 entries of the tables, 6 their
// product, 7 the exponential, 8 operands of the divider, 9 + share_bits its quotient, one more the
// line. That is 5 + share_bits cycles later than a sum of products. The largest words are read and
// written in stage 3, the sums in stage 7, so a sweep follows the one before without a pause:
//
//   pass = 3 * joints * channels + share_bits + 5 (+ 11 as every pass)
module softmax #(
`include "engine_params.svh"
) (
    input  logic                       clk,
    input  logic                       rst,
    input  logic                       enable,
    input  logic [      PASS_BITS-1:0] pass_word,
    input  logic                       pass_start,
    input  logic                       op_valid,    // stage 0
    input  logic [                1:0] op_sweep,
    input  logic                       op_last,     // of its line
    input  logic                       op_end,      // of its sweep
    input  logic [SHARE_X_BITS-1:0]    operand,     // stage 3
    input  logic                       boot_write,  // coarse tables, behind them fine ones
    input  logic [ BOOT_ADDR_BITS-1:0] boot_addr,
    input  logic [ SHARE_ENTRY_BITS-1:0] boot_data,
    output logic                       result,      // a line of words comes in the next cycle
    output logic [ LANES*ACC_BITS-1:0] words
);
`include "pass_fields.svh"

  localparam int BLOCK_BITS = SHARE_X_BITS > C_ADDR_BITS ? SHARE_X_BITS : C_ADDR_BITS;
  localparam int PRODUCT_BITS = 2 * SHARE_ENTRY_BITS;

  // ---- operations on their way to stage 3
  logic [3:1] going, lasts, ends;
  logic [1:0] sweep1, sweep2, sweep3;
  always_ff @(posedge clk)
    if (rst) going <= '0;
    else if (enable) begin
      going <= {going[2:1], op_valid && is_softmax};
      lasts <= {lasts[2:1], op_last};
      ends  <= {ends[2:1], op_end};
      {sweep1, sweep2, sweep3} <= {op_sweep, sweep1, sweep2};
    end

  // ---- stage 3: which joint, and its largest word
  logic fresh, begun, first3;  // in the first group; in a line; first word of its joint
  logic [COUNT_BITS-1:0] joint3;
  logic signed [SHARE_X_BITS-1:0] x3, top3;
  logic signed [SHARE_X_BITS-1:0] tops[0:SHARE_JOINTS-1];
  assign first3 = fresh && !begun;
  assign x3     = operand;
  assign top3   = tops[joint3[SHARE_JOINT_BITS-1:0]];

  always_ff @(posedge clk)
    if (enable) begin
      if (pass_start) begin
        fresh  <= 1'b1;
        begun  <= 1'b0;
        joint3 <= '0;
      end else if (going[3]) begin
        begun <= !lasts[3];
        if (lasts[3]) begin
          joint3 <= joint3 == count_joints ? '0 : joint3 + 1;
          if (joint3 == count_joints) fresh <= ends[3];
        end
      end
      if (going[3] && sweep3 == 0 && (first3 || x3 > top3))
        tops[joint3[SHARE_JOINT_BITS-1:0]] <= x3;
    end

  // ---- stages 4 to 7: the exponential
  logic [SHARE_X_BITS-1:0] below4, within4;
  logic [BLOCK_BITS-1:0] block4;
  logic [C_ADDR_BITS-1:0] coarse_addr;
  logic [P_ADDR_BITS-1:0] fine_addr;
  logic [SHARE_ENTRY_BITS-1:0] coarse5, fine5, power7;
  logic [PRODUCT_BITS-1:0] product6, half;
  logic is_fine;
  assign block4      = BLOCK_BITS'(below4) >> fine_shift;
  assign within4     = below4 & ~({SHARE_X_BITS{1'b1}} << fine_shift);
  assign coarse_addr = coarse_base
                     + (block4 > BLOCK_BITS'(coarse_last) ? coarse_last : block4[C_ADDR_BITS-1:0]);
  assign fine_addr   = fine_base + P_ADDR_BITS'(within4);
  assign half        = PRODUCT_BITS'(1) << (exp_bits - 1);
  assign is_fine     = 32'(boot_addr) >= COARSES;

  ram #(.WIDTH(SHARE_ENTRY_BITS), .DEPTH(COARSES), .ADDR_BITS(C_ADDR_BITS)) u_coarse (
      .clk, .write(boot_write && !is_fine), .write_addr(boot_addr[C_ADDR_BITS-1:0]),
      .write_data(boot_data), .read(enable), .read_addr(coarse_addr), .read_data(coarse5)
  );
  ram #(.WIDTH(SHARE_ENTRY_BITS), .DEPTH(FINES), .ADDR_BITS(P_ADDR_BITS)) u_fine (
      .clk, .write(boot_write && is_fine),
      .write_addr(P_ADDR_BITS'(boot_addr - BOOT_ADDR_BITS'(COARSES))),
      .write_data(boot_data), .read(enable), .read_addr(fine_addr), .read_data(fine5)
  );

  always_ff @(posedge clk)
    if (enable) begin
      below4   <= top3 - x3;
      product6 <= PRODUCT_BITS'(coarse5) * PRODUCT_BITS'(fine5);
      power7   <= SHARE_ENTRY_BITS'((product6 + half) >> exp_bits);
    end

  // ---- stage 7: the sum of each joint
  logic [7:4] adds, shares, firsts, lines;  // sweep 1, sweep 2, first of a joint, last of a line
  logic [COUNT_BITS-1:0] joint4, joint5, joint6, joint7;
  logic [SHARE_SUM_BITS-1:0] sum7;
  logic [SHARE_SUM_BITS-1:0] sums[0:SHARE_JOINTS-1];
  assign sum7 = sums[joint7[SHARE_JOINT_BITS-1:0]];
  always_ff @(posedge clk) begin
    if (rst) {adds, shares} <= '0;
    else if (enable) begin
      adds   <= {adds[6:4], going[3] && sweep3 == 1};
      shares <= {shares[6:4], going[3] && sweep3 == 2};
    end
    if (enable) begin
      firsts <= {firsts[6:4], first3};
      lines  <= {lines[6:4], lasts[3]};
      {joint4, joint5, joint6, joint7} <= {joint3, joint4, joint5, joint6};
      if (adds[7])
        sums[joint7[SHARE_JOINT_BITS-1:0]] <=
            firsts[7] ? SHARE_SUM_BITS'(power7) : sum7 + SHARE_SUM_BITS'(power7);
    end
  end

  // ---- from stage 8 on: quotients, gathered to lines
  logic divide8, line8, done, done_last;
  logic [SHARE_SUM_BITS-1:0] number8, by8;
  logic [SHARE_BITS:0] quotient;
  always_ff @(posedge clk) begin
    if (rst) divide8 <= 1'b0;
    else if (enable) divide8 <= shares[7];
    if (enable) begin
      line8   <= lines[7];
      number8 <= SHARE_SUM_BITS'(power7);
      by8     <= sum7;
    end
  end
  divider #(.WIDTH(SHARE_SUM_BITS), .MOST_BITS(SHARE_BITS)) u_divider (
      .clk, .rst, .enable, .bits({1'b0, share_bits}), .valid(divide8), .tag(line8), .number(number8),
      .tail('0), .by(by8), .done, .done_tag(done_last), .quotient
  );
  gather #(.LANES(LANES), .WIDTH(ACC_BITS)) u_gather (
      .clk, .rst, .enable, .valid(done), .last(done_last), .word(ACC_BITS'({1'b0, quotient})), .result,
      .words
  );
endmodule
