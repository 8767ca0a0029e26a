// Where the results of a pass belong, stage by stage: line within the value, block of outputs (a
// group of lanes of a partition), and whether a line is its frame's last. Results come group by group,
// partition by partition, joint by joint; a frame lies group by group, joint by joint, partition by
// partition.
module result_place #(
`include "engine_params.svh"
) (
    input  logic                       clk,
    input  logic                       rst,
    input  logic                       enable,
    input  logic [      PASS_BITS-1:0] pass_word,
    input  logic                       pass_start,
    input  logic                       made,        // stage 4: the last operation of a result
    output logic                       last_group,
    output logic [    N_ADDR_BITS-1:0] block4,
    output logic [    N_ADDR_BITS-1:0] block6,
    output logic [    N_ADDR_BITS-1:0] block7,
    output logic [    N_ADDR_BITS-1:0] block9,
    output logic [VALUE_ADDR_BITS-1:0] line5,
    output logic [VALUE_ADDR_BITS-1:0] line6,
    output logic [VALUE_ADDR_BITS-1:0] line8,
    output logic [VALUE_ADDR_BITS-1:0] line10,
    output logic                       made6,
    output logic                       made11,
    output logic                       last11       // of the frame
);
`include "pass_fields.svh"

  logic made5, made7, made8, made9, made10;
  logic last5, last6, last7, last8, last9, last10;
  logic [VALUE_ADDR_BITS-1:0] next_line, next_start, line7, line9;
  logic [COUNT_BITS-1:0] next_joint, next_part, next_group;
  logic [N_ADDR_BITS-1:0] block5, block8;
  logic joint_wraps, part_wraps;
  assign joint_wraps = next_joint == count_joints;
  assign part_wraps  = next_part == count_parts;
  assign last_group  = next_group == count_groups;

  always_ff @(posedge clk) begin
    if (rst) {made5, made6, made7, made8, made9, made10, made11} <= '0;
    else if (enable)
      {made5, made6, made7, made8, made9, made10, made11} <=
          {made, made5, made6, made7, made8, made9, made10};
    if (enable) begin
      {line5, line6, line7, line8, line9, line10} <= {next_line, line5, line6, line7, line8, line9};
      {block5, block6, block7, block8, block9} <= {block4, block5, block6, block7, block8};
      last5 <= joint_wraps && part_wraps && last_group;
      {last6, last7, last8, last9, last10, last11} <= {last5, last6, last7, last8, last9, last10};
      if (pass_start)
        {next_line, next_start, next_joint, next_part, next_group, block4} <= '0;
      else if (made) begin
        next_joint <= joint_wraps ? '0 : next_joint + 1;
        next_line  <= next_line + VALUE_ADDR_BITS'(count_parts) + 1;
        if (joint_wraps) begin
          block4     <= block4 + 1;
          next_part  <= part_wraps ? '0 : next_part + 1;
          next_start <= part_wraps ? next_line + 1 : next_start + 1;
          next_line  <= part_wraps ? next_line + 1 : next_start + 1;
          if (part_wraps) next_group <= next_group + 1;
        end
      end
    end
  end
endmodule
