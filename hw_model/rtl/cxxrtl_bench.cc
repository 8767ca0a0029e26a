// The bench for CXXRTL: Yosys writes `engine.cc`, this drives it as bench.sv does, reads the same
// files, says the same lines. Arguments as bench.sv's plusargs. Two-state: nothing is ever x.
#include "engine.cc"

#include <cxxrtl/cxxrtl_vcd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

using Words = std::vector<uint32_t>;  // one number, 32 bits each, the least significant first

[[noreturn]] static void fatal(const std::string &text) {
  std::cout << "FATAL: " << text << std::endl;
  std::exit(1);
}

static std::string hex8(uint32_t word) {
  char text[9];
  std::snprintf(text, sizeof text, "%08x", word);
  return text;
}

static std::string hex(const Words &words, size_t bits) {
  std::string text;
  for (size_t i = words.size(); i-- > 0;) text += hex8(words[i]);
  return text.substr(text.size() - (bits + 3) / 4);
}

// A hex memory, counted and summed as checked_file.sv does; the bits below `bits` are the words, an
// address may stand before them.
struct File {
  size_t digits;
  std::vector<Words> lines, addresses;

  static std::pair<size_t, uint32_t> find(const std::string &folder, const std::string &name) {
    std::ifstream sums(folder + "/sums.txt");
    if (!sums) fatal("sums.txt: file is missing in " + folder);
    std::string entry, sum;
    size_t count;
    while (sums >> entry >> count >> sum)
      if (entry == name) return {count, uint32_t(std::stoul(sum, nullptr, 16))};
    fatal("sums.txt: " + name + " is not in it");
  }

  static Words parse(const std::string &text, const std::string &name) {
    Words words((text.size() + 7) / 8);
    for (size_t i = 0; i < text.size(); i++) {
      char digit = text[text.size() - 1 - i];
      if (!std::isxdigit(static_cast<unsigned char>(digit))) fatal(name + ": no hex digits: " + text);
      uint32_t value = digit <= '9' ? digit - '0' : (digit | 32) - 'a' + 10;
      words[i / 8] |= value << (i % 8 * 4);
    }
    return words;
  }

  void load(const std::string &folder, const std::string &name, size_t bits, bool addressed) {
    auto [needed, checksum] = find(folder, name);
    std::ifstream file(folder + "/" + name);
    if (!file) fatal(name + ": file is missing");
    digits = (bits + 3) / 4;
    uint32_t sum = 0;
    std::string text;
    while (file >> text) {
      for (uint32_t word : parse(text, name)) sum = ((sum << 1) | (sum >> 31)) ^ word;
      if (addressed && text.size() != digits + 8)
        fatal(name + ": has words of " + std::to_string(text.size()) + " digits");
      addresses.push_back(parse(text.substr(0, addressed ? 8 : 0), name));
      lines.push_back(parse(text.substr(addressed ? 8 : 0), name));
    }
    if (lines.size() != needed)
      fatal(name + ": has " + std::to_string(lines.size()) + " words, " + std::to_string(needed) +
            " are needed");
    if (sum != checksum)
      fatal(name + ": was altered: checksum " + hex8(sum) + ", " + hex8(checksum) + " is needed");
  }
};

// What the engine has under a name.
struct Signal {
  cxxrtl::debug_item item;

  uint32_t word() const { return item.curr[0]; }
  size_t chunks() const { return (item.width + 31) / 32; }
  Words words(size_t at = 0) const {
    return Words(item.curr + at * chunks(), item.curr + (at + 1) * chunks());
  }
  void set(const Words &words) const {
    for (size_t i = 0; i < chunks(); i++) {
      uint32_t word = i < words.size() ? words[i] : 0;
      size_t bits = item.width - i * 32;
      item.next[i] = bits < 32 ? word & ((1u << bits) - 1) : word;
    }
  }
  void set(uint32_t word) const { set(Words{word}); }
};

struct Engine {
  cxxrtl_design::p_engine top;
  cxxrtl::debug_items items;
  cxxrtl::vcd_writer vcd;
  std::ofstream waves;
  uint64_t time = 0;
  std::vector<cxxrtl::debug_outline *> outlines;  // signals that only debugging wants

  explicit Engine(const std::string &path) {
    top.debug_info(&items, nullptr, "");
    for (auto &[name, parts] : items.table)
      for (auto &part : parts)
        if (part.outline != nullptr &&
            std::find(outlines.begin(), outlines.end(), part.outline) == outlines.end())
          outlines.push_back(part.outline);
    if (path.empty()) return;
    waves.open(path);
    vcd.timescale(1, "ns");
    vcd.add_without_memories(items);
  }
  bool has(const std::string &name) const { return items.count(name) != 0; }
  Signal operator[](const std::string &name) const {
    if (!has(name)) fatal("the engine has no signal " + name);
    return Signal{items[name]};
  }
  void step(const Signal &clk, bool level) {
    clk.set(level);
    top.step();
    if (!level)
      for (auto *outline : outlines) outline->eval();
    if (!waves.is_open()) return;
    vcd.sample(time);
    time += 5;
    waves << vcd.buffer;
    vcd.buffer.clear();
  }
};

static std::string pair_text(const Words &address, const Words &data, size_t bits) {
  return hex(address, 32) + " " + hex(data, bits);
}

// As port_check.sv.
struct Port {
  std::string label;
  File file;
  Signal data;
  size_t seen = 0, wrong = 0;

  Port(const std::string &folder, const std::string &name, const Signal &signal)
      : label(name), data(signal) {
    file.load(folder, name, data.item.width, true);
  }
  void see(uint32_t where) {
    Words address{where}, found = data.words();
    size_t bits = data.item.width;
    bool known = seen < file.lines.size();
    if (!known || address != file.addresses[seen] || found != file.lines[seen]) {
      if (wrong == 0)
        std::cout << "DIFFERENT " << label << " line " << seen << " is "
                  << pair_text(address, found, bits)
                  << (known ? " should be " +
                                  pair_text(file.addresses[seen], file.lines[seen], bits)
                            : ", should not be")
                  << "\n";
      wrong++;
    }
    seen++;
  }
  size_t failures() const {
    if (seen == file.lines.size()) return wrong;
    std::cout << "DIFFERENT " << label << " has " << seen << " lines, should have "
              << file.lines.size() << "\n";
    return wrong + 1;
  }
};

// A memory that passes write: its port, and what it holds in the end, as end_check.sv.
struct Memory {
  Port port;
  Signal strobe, loading, address, words;
  std::string label;
  File held;
  bool loads;

  Memory(const Engine &engine, const std::string &folder, const std::string &name,
         const std::string &ram, const std::string &values)
      : port(folder, name + ".hex", engine[ram + " write_data"]), strobe(engine[ram + " write"]),
        loading(engine[values.empty() ? ram + " write" : values + ".loading"]),
        address(engine[ram + " write_addr"]), words(engine[ram + " words"]),
        label(name + ".end.hex"), loads(!values.empty()) {
    held.load(folder, label, words.item.width, true);
  }
  void sample() {
    if (strobe.word() && !(loads && loading.word())) port.see(address.word());
  }
  size_t failures() const {
    size_t wrong = 0, bits = words.item.width;
    for (size_t i = 0; i < held.lines.size(); i++) {
      uint32_t at = held.addresses[i][0];
      if (at < words.item.depth && words.words(at) == held.lines[i]) continue;
      Words found = at < words.item.depth ? words.words(at) : Words(words.chunks());
      if (wrong == 0)
        std::cout << "DIFFERENT " << label << " line " << i << " is "
                  << pair_text(held.addresses[i], found, bits) << " should be "
                  << pair_text(held.addresses[i], held.lines[i], bits) << "\n";
      wrong++;
    }
    return port.failures() + wrong;
  }
};

static std::vector<Memory> memories_of(const Engine &engine, const std::string &folder) {
  std::vector<Memory> found;
  for (size_t m = 0; engine.has("g_values[" + std::to_string(m) + "].u_ram write"); m++) {
    std::string values = "g_values[" + std::to_string(m) + "]";
    found.emplace_back(engine, folder, "values" + std::to_string(m), values + ".u_ram", values);
  }
  if (engine.has("g_sum.u_fifo write")) {
    found.emplace_back(engine, folder, "fifo", "g_sum.u_fifo", "");
    found.emplace_back(engine, folder, "totals", "g_sum.u_totals", "");
  }
  return found;
}

// The memory outside, as in bench.sv: the first line after so many cycles, then one every so many.
struct Outside {
  Signal fetch_valid, fetch_ready, fetch_line, fetch_last, line_valid, line_data;
  File lines, source;
  size_t at = 0, left = 0, wait = 0;

  Outside(const Engine &engine, const std::string &folder)
      : fetch_valid(engine["fetch_valid"]), fetch_ready(engine["fetch_ready"]),
        fetch_line(engine["fetch_line"]), fetch_last(engine["fetch_last"]),
        line_valid(engine["line_valid"]), line_data(engine["line_data"]) {
    lines.load(folder, "outside.hex", line_data.item.width, false);
    source.load(folder, "source.hex", 32, false);
    fetch_ready.set(1);
  }
  // what bench.sv does at a rising edge, with the signals before it
  void edge() {
    uint32_t latency = source.lines[0][0], interval = source.lines[1][0];
    bool gives = false;
    if (fetch_valid.word() && left == 0 && !busy) {
      at = fetch_line.word(), left = size_t(fetch_last.word()) + 1, wait = latency - 1;
      gives = latency == 1;
    } else if (left > 0) {
      gives = wait == 1 && !busy;
      if (wait > 1) wait--;
    }
    next_valid = gives;
    if (gives) next = lines.lines[at++], left--, wait = interval;
  }
  void drive(bool stalls) {
    busy = stalls;
    line_valid.set(next_valid);
    line_data.set(next);
    fetch_ready.set(left == 0 && !busy);
  }
  bool next_valid = false, busy = false;
  Words next;
};

static void boot(Engine &engine, const std::string &folder) {
  static const char *const names[] = {"program", "weights", "bias",  "norm",
                                      "edges",   "delta",   "seeds", "powers"};
  Signal clk = engine["clk"], valid = engine["boot_valid"], memory = engine["boot_memory"];
  Signal addr = engine["boot_addr"], data = engine["boot_data"];
  for (uint32_t at = 0; at < 8; at++) {
    File file;
    file.load(folder, std::string(names[at]) + ".hex", 0, false);
    for (uint32_t i = 0; i < file.lines.size(); i++) {
      valid.set(1), memory.set(at), addr.set(i), data.set(file.lines[i]);
      engine.step(clk, false), engine.step(clk, true);
    }
  }
  valid.set(0);
  engine.step(clk, false), engine.step(clk, true);
}

static int run(Engine &engine, const std::string &folder, bool stalling) {
  Signal clk = engine["clk"], in_valid = engine["in_valid"], in_ready = engine["in_ready"];
  Signal in_data = engine["in_data"], in_last = engine["in_last"], out_ready = engine["out_ready"];
  Signal out_valid = engine["out_valid"], out_id = engine["out_id"];
  Signal out_last = engine["out_last"], frame_done = engine["frame_done"];
  File input, cycles, stalls;
  input.load(folder, "input.hex", in_data.item.width, true);
  cycles.load(folder, "cycles.hex", 32, false);
  stalls.load(folder, "stalls.hex", 3, false);
  Outside outside(engine, folder);
  Port outputs(folder, "outputs.hex", engine["out_data"]);
  std::vector<Memory> memories = memories_of(engine, folder);

  engine["rst"].set(1);
  for (int i = 0; i < 4; i++) engine.step(clk, false), engine.step(clk, true);
  engine["rst"].set(0);
  boot(engine, folder);

  size_t cycle = 0, taken = 0, done = 0, late = 0, first = 0, last = 0, took = 0;
  size_t drained = 0;
  size_t limit = 4 * size_t(cycles.lines.back()[0]) + 10000;
  uint32_t stall = 0;
  for (; cycle < limit && drained < 17; cycle++) {
    bool offers = taken < input.lines.size() && !(stall & 1);
    in_valid.set(offers);
    if (taken < input.lines.size()) {
      in_data.set(input.lines[taken]);
      in_last.set(input.addresses[taken][0] & 1);
    }
    bool takes = !(stall & 2);
    out_ready.set(takes);
    outside.drive(stall & 4);
    engine.step(clk, false);
    if (out_valid.word() && takes) {
      outputs.see(2 * out_id.word() + out_last.word());
      last = cycle;
    }
    for (Memory &memory : memories) memory.sample();
    if (offers && in_ready.word() && taken++ == 0) first = cycle;
    if (frame_done.word()) {
      took = cycle - first + 1;
      if (!stalling && done < cycles.lines.size() && took != cycles.lines[done][0] && late++ == 0)
        std::cout << "CYCLES frame " << done << " ends after " << took << " cycles, should after "
                  << cycles.lines[done][0] << "\n";
      done++;
    }
    if (stalling) stall = stalls.lines[cycle % stalls.lines.size()][0];
    outside.edge();
    engine.step(clk, true);
    if (drained > 0 || done >= cycles.lines.size())
      if (drained < 16 || outputs.seen >= outputs.file.lines.size()) drained++;
  }
  size_t failed = outputs.failures() + late;
  for (const Memory &memory : memories) failed += memory.failures();
  if (done != cycles.lines.size()) {
    std::cout << "CYCLES " << done << " of " << cycles.lines.size() << " frames were done after "
              << cycle << " cycles\n";
    failed++;
  }
  std::cout << "FRAMES " << done << " CYCLES " << took << " LATENCY " << last - first + 1 << "\n";
  if (failed != 0) fatal("FAIL: " + std::to_string(failed) + " differences");
  std::cout << "PASS: " << outputs.seen << " output lines\n";
  return 0;
}

int main(int argc, char **argv) {
  std::string folder = ".", waves;
  bool stalling = false;
  for (int i = 1; i < argc; i++) {
    std::string given = argv[i];
    if (given.rfind("+folder=", 0) == 0) folder = given.substr(8);
    if (given.rfind("+waves=", 0) == 0) waves = given.substr(7);
    if (given == "+stall=1") stalling = true;
  }
  Engine engine(waves);
  return run(engine, folder, stalling);
}
