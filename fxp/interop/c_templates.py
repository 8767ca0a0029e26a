"""The parts of the C files that do not depend on the network, with `$field`s for what does."""

from __future__ import annotations

CAST_TYPE = """\
/* How a word is cast: r = (x + offset + (negative if x < 0) + (odd if x >> shift is odd)) >> shift,
   then r << left where low <= r <= high. */
typedef struct {
    int64_t offset, negative, odd;
    int shift, left;
    int64_t low, high;
} net_cast;
"""

HEADER = """\
/* Integer network `$name`, generated; tolerance 0. */
#ifndef NETWORK_H
#define NETWORK_H

#include <stdint.h>

#define NET_HASH "$hash"
#define NET_NODES $nodes
#define NET_OUTPUTS $outputs
#define NET_INPUT_CHANNELS $channels
#define NET_INPUT_JOINTS $joints
#define NET_LATENCY_FRAMES $latency /* frames of the future that the slowest value needs */
#define NET_LONGEST_CLIP $longest /* frames; 0: no limit */

$macros

/* All a stream remembers; set up by net_reset. Each value's newest frame is (channel, joint). */
typedef struct {
    int64_t ticks, frames;      /* of the clock; of the input */
    int ended;
    int64_t seen[NET_NODES];    /* frames of each value so far */
    uint8_t fresh[NET_NODES];   /* whether the last call made one */
$fields
} net_state;

typedef struct {
    const char *name, *kind;
    int channels, joints, word_bits, is_signed, period_frames, lookahead_frames;
} net_node;

extern const net_node net_nodes[NET_NODES];
extern const int net_outputs[NET_OUTPUTS];

/* Start a clip. */
void net_reset(net_state *net);
/* Read one frame of raw words, (channel, joint). 0: the clip is over or too long. */
int net_step(net_state *net, const int64_t *words);
/* After the last frame: call until it gives 0; each call may make frames that waited. */
int net_finish(net_state *net);
/* Word i of the newest frame of a value. */
int64_t net_word(const net_state *net, int node, int i);

#endif
"""

SOURCE = """\
#include "network.h"
#include "network_constants.h"

#include <string.h>

const net_node net_nodes[NET_NODES] = {
$table
};

const int net_outputs[NET_OUTPUTS] = {$outputs};

/* Modulo 2**64, where C defines it. */
static inline uint64_t product(int64_t a, int64_t b) { return (uint64_t)a * (uint64_t)b; }

static inline int64_t to_signed(uint64_t x)
{
    return x <= INT64_MAX ? (int64_t)x : -(int64_t)~x - 1;
}

/* Floor, whatever the compiler makes of a negative word's >>. */
static inline int64_t shift_right(int64_t x, int places)
{
    return x >= 0 ? x >> places : ~(~x >> places);
}

static inline int64_t rounded(int64_t x, const net_cast *k)
{
    const int64_t whole = shift_right(x, k->shift);
    return shift_right(x + k->offset + (x < 0 ? k->negative : 0) + (whole & k->odd), k->shift);
}

static inline int64_t cast_saturate(int64_t x, const net_cast *k, int64_t under, int64_t over,
                                    int64_t least)
{
    const int64_t r = rounded(x, k);
    const int64_t y = r < k->low ? under : r > k->high ? over : r * (INT64_C(1) << k->left);
    return y > least ? y : least;
}

static inline int64_t cast_wrap(int64_t x, const net_cast *k, int64_t lowest, int64_t mask,
                                int64_t least)
{
    const uint64_t r = (uint64_t)rounded(x, k) << k->left;
    const int64_t y = (int64_t)((r - (uint64_t)lowest) & (uint64_t)mask) + lowest;
    return y > least ? y : least;
}

static inline int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* a * 2**left > b, without forming a product that may not fit. */
static inline int exceeds(int64_t a, int64_t b, int left)
{
    const int places = left < 0 ? -left : left;
    const int most = places < 63 ? places : 63;
    return left >= 0 ? a > shift_right(b, most) : shift_right(a - 1, most) >= b;
}

/* Of a positive number: about 2**18 / sqrt(number / 4**k), k its half bit length, rounded up. */
static inline int64_t reciprocal_root(int64_t number, const int32_t *seeds, int width, int steps,
                                      int *k)
{
    int bits = 0;
    while (bits < 63 && number >> bits) bits++;
    *k = (bits + 1) / 2;
    const int shift = 2 * *k - 18;
    const int64_t mantissa = shift > 0 ? number >> shift : number << -shift;
    int64_t root = seeds[(mantissa - 65536) / width];
    for (int i = 0; i < steps; i++) {
        const int64_t near_one = (mantissa * ((root * root) >> 18)) >> 18;
        root = shift_right(root * ((INT64_C(3) << 18) - near_one), 19);
    }
    return root;
}

/* Whether this tick makes a frame of a value that looks ahead and comes every so many frames. */
static inline int due(const net_state *net, int64_t lookahead, int64_t period)
{
    const int64_t place = net->ticks - lookahead;
    return place >= 0 && place < net->frames && place % period == 0;
}

static void tick(net_state *net)
{
$ticks
    net->ticks++;
}

void net_reset(net_state *net) { memset(net, 0, sizeof *net); }

int net_step(net_state *net, const int64_t *words)
{
    memset(net->fresh, 0, sizeof net->fresh);
    if (net->ended || (NET_LONGEST_CLIP && net->frames >= NET_LONGEST_CLIP)) return 0;
    for (int i = 0; i < $size; i++) net->$x[i] = ($type)words[i];
    net->frames++;
    net->seen[0]++;
    net->fresh[0] = 1;
    tick(net);
    return 1;
}

int net_finish(net_state *net)
{
    memset(net->fresh, 0, sizeof net->fresh);
    if (net->ended == 2) return 0;
    net->ended = 1;
    if (net->frames && net->ticks < net->frames + NET_LATENCY_FRAMES) {
        tick(net);
        return 1;
    }
    net->ended = 2;
    if ($has_ends && net->frames) {
$ends
        return 1;
    }
    return 0;
}

int64_t net_word(const net_state *net, int node, int i)
{
    switch (node) {
$words
    }
    return 0;
}
"""

MAIN = """\
/* Reads input words, one int64_t each in the machine's byte order, frame after frame (channel,
   joint), until they end. Prints each frame of each output (with any argument: of every node) as a
   line: name, words. */
#include "network.h"

#include <stdio.h>

static net_state net;

static void print_fresh(int all)
{
    for (int n = 0; n < NET_NODES; n++) {
        int wanted = all;
        for (int o = 0; o < NET_OUTPUTS; o++) wanted = wanted || net_outputs[o] == n;
        if (!wanted || !net.fresh[n]) continue;
        fputs(net_nodes[n].name, stdout);
        for (int i = 0; i < net_nodes[n].channels * net_nodes[n].joints; i++)
            printf(" %lld", (long long)net_word(&net, n, i));
        putchar('\\n');
    }
}

int main(int argc, char **argv)
{
    static int64_t words[NET_INPUT_CHANNELS * NET_INPUT_JOINTS];
    (void)argv;
    net_reset(&net);
    while (fread(words, sizeof words, 1, stdin) == 1) {
        if (!net_step(&net, words)) {
            fprintf(stderr, "the clip is too long\\n");
            return 1;
        }
        print_fresh(argc > 1);
    }
    while (net_finish(&net)) print_fresh(argc > 1);
    return 0;
}
"""
