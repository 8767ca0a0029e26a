// The root of a layer norm: from the sums of a frame to a reciprocal root and its exponent, with one
// multiplier, one thing after another, to the bit as docs/arithmetic.md (4.11) has it.
//
//   D = words * s1 - s0**2 + epsilon, k half its bit length rounded up, a mantissa of 18 bits, a seed,
//   Newton steps. Results stand 9 + 6 * newton_steps cycles after `start`, until the next one:
//
//   cycle 0  start: operands words, s1      5  k              9 + 6i  product (r * r)
//         1  product                        6  mantissa      10 + 6i  operands m, q
//         2  sum; operands s0, s0           7  seed          11 + 6i  product
//         3  product                        8  root: seed    12 + 6i  operands r, 3 - p
//         4  D                                               13 + 6i  product
//                                                            14 + 6i  root; operands r, r
module reciprocal_root #(
    parameter int S0_BITS = 16,
    parameter int S1_BITS = 24,
    parameter int WORDS_BITS = 8,
    parameter int VARIANCE_BITS = 32,
    parameter int K_BITS = 5,
    parameter int SEEDS = 48,
    parameter int ADDR_BITS = 6
) (
    input  logic                            clk,
    input  logic                            rst,
    input  logic                            enable,
    input  logic                            start,
    input  logic signed [      S0_BITS-1:0] s0,
    input  logic        [      S1_BITS-1:0] s1,
    input  logic        [   WORDS_BITS-1:0] words,
    input  logic        [VARIANCE_BITS-1:0] epsilon,
    input  logic        [    ADDR_BITS-1:0] seed_base,
    input  logic        [              4:0] seed_shift,    // mantissas of one seed, a power of two
    input  logic        [              2:0] newton_steps,
    input  logic                            boot_write,
    input  logic        [    ADDR_BITS-1:0] boot_addr,
    input  logic        [             19:0] boot_data,
    output logic        [             19:0] root,
    output logic        [       K_BITS-1:0] k
);
  localparam int A_WIDEST = S1_BITS + 1 > S0_BITS ? S1_BITS + 1 : S0_BITS;
  localparam int B_WIDEST = WORDS_BITS + 1 > S0_BITS ? WORDS_BITS + 1 : S0_BITS;
  localparam int A_BITS = A_WIDEST > 22 ? A_WIDEST : 22;
  localparam int B_BITS = B_WIDEST > 22 ? B_WIDEST : 22;
  localparam int PRODUCT_BITS = A_BITS + B_BITS;
  localparam int PAIRS = VARIANCE_BITS > 18 ? (VARIANCE_BITS + 1) / 2 : 9;
  localparam logic [17:0] LEAST_MANTISSA = 18'h10000;

  // one after another
  localparam logic [3:0] IDLE = 0, SUM = 1, TAKE = 2, SQUARE = 3, SUBTRACT = 4, COUNT = 5, ALIGN = 6;
  localparam logic [3:0] FETCH = 7, FIRST = 8, MULTIPLY_R = 9, KEEP_Q = 10, MULTIPLY_Q = 11;
  localparam logic [3:0] KEEP_P = 12, MULTIPLY_P = 13, KEEP_R = 14;
  logic [3:0] step;

  logic signed [A_BITS-1:0] a;
  logic signed [B_BITS-1:0] b;
  logic signed [PRODUCT_BITS-1:0] product, next_root;
  logic [VARIANCE_BITS-1:0] variance;
  logic [2*PAIRS-1:0] wide, aligned;
  logic [17:0] mantissa, past;
  logic [19:0] seed;
  logic [2:0] left;
  logic [K_BITS-1:0] pairs;
  logic [ADDR_BITS-1:0] seed_addr;

  assign wide      = (2 * PAIRS)'(variance);
  assign aligned   = wide << {K_BITS'(PAIRS) - k, 1'b0};
  assign past      = (mantissa - LEAST_MANTISSA) >> seed_shift;
  assign seed_addr = seed_base + ADDR_BITS'(past);
  assign next_root = product >>> 19;

  always_comb begin
    pairs = '0;
    for (int i = 0; i < PAIRS; i++) if (wide[2*i+:2] != 0) pairs = K_BITS'(i + 1);
  end

  ram #(.WIDTH(20), .DEPTH(SEEDS), .ADDR_BITS(ADDR_BITS)) u_seeds (
      .clk, .write(boot_write), .write_addr(boot_addr), .write_data(boot_data),
      .read(enable && step == FETCH), .read_addr(seed_addr), .read_data(seed)
  );

  always_ff @(posedge clk) begin
    if (rst) step <= IDLE;
    else if (enable) begin
      case (step)
        IDLE:    step <= start ? SUM : IDLE;
        FIRST:   step <= newton_steps == 0 ? IDLE : MULTIPLY_R;
        KEEP_R:  step <= left == 1 ? IDLE : MULTIPLY_R;
        default: step <= step + 1;
      endcase
    end
  end

  always_ff @(posedge clk)
    if (enable)
      case (step)
        IDLE: begin
          a <= A_BITS'(s1);
          b <= B_BITS'(words);
        end
        SUM, SQUARE, MULTIPLY_R, MULTIPLY_Q, MULTIPLY_P:
          product <= PRODUCT_BITS'(a) * PRODUCT_BITS'(b);
        TAKE: begin
          variance <= VARIANCE_BITS'(product) + epsilon;
          a <= A_BITS'(s0);
          b <= B_BITS'(s0);
        end
        SUBTRACT: variance <= variance - VARIANCE_BITS'(product);
        COUNT: k <= pairs;
        ALIGN:  // where all words are equal there is nothing to scale: any mantissa will do
          mantissa <= k == 0 ? LEAST_MANTISSA : aligned[2*PAIRS-1-:18];
        FIRST: begin
          root <= seed;
          left <= newton_steps;
          a <= A_BITS'(seed);
          b <= B_BITS'(seed);
        end
        KEEP_Q: begin
          a <= A_BITS'(mantissa);
          b <= B_BITS'(product >>> 18);
        end
        KEEP_P: begin
          a <= A_BITS'(root);
          b <= B_BITS'(3 << 18) - B_BITS'(product >>> 18);
        end
        KEEP_R: begin
          root <= next_root[19:0];
          left <= left - 1;
          a <= A_BITS'(next_root);
          b <= B_BITS'(next_root);
        end
        default: ;
      endcase
endmodule
