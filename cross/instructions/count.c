/* A plugin of qemu-aarch64: how often each instruction of a program is executed, summed by function.
 *
 *   gcc -O2 -shared -fPIC -o libcount.so count.c
 *   qemu-aarch64 -plugin ./libcount.so,out=FILE PROGRAM ARGUMENTS
 *
 * FILE gets a line for every function
 *   function EXECUTED FMA SIMD_LOADS_AND_STORES OTHER_SIMD NAME
 * and one for every inner loop that multiplies vectors: instructions in a row of which the last jumps to the first
 *   loop ROUNDS FMA NAME WORD WORD ...
 * with its instructions in hexadecimal. Counts are exact for a program of one thread.
 *
 * QEMU translates blocks and lets a plugin add to a number whenever one is run (API version 1, QEMU 7.2; Debian
 * packages no header for it, so what is used is declared here). Where a block ends depends on where the code lies: at
 * every page, and one that is run into begins elsewhere than one that is jumped to. So loops are not looked for among
 * blocks but among instructions, each counted over all the blocks that hold it. Classes are read off the encoding: Arm
 * Architecture Reference Manual, "A64 instruction set encoding".
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
typedef struct qemu_info_t qemu_info_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };
extern void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, struct qemu_plugin_tb *));
extern void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, enum qemu_plugin_op, void *, uint64_t);
extern void qemu_plugin_register_atexit_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, void *), void *);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
extern const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
extern const char *qemu_plugin_insn_symbol(const struct qemu_plugin_insn *);
extern uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

enum { FMA, SIMD_MEMORY, SIMD_OTHER, REST, KINDS };

typedef struct Block {
    struct Block *next;
    const char *function;
    uint64_t address, times;
    size_t length;
    uint32_t kinds[KINDS];
    uint32_t words[];
} Block;

static Block *blocks;
static const char *path;

static int kind(uint32_t word) {
    switch (word >> 25 & 15) {
    case 7:
    case 15:
        if ((word & 0xBF20FC00) == 0x0E20CC00 || /* fmla, fmls (vector) */
            (word & 0xBF80B400) == 0x0F801000)   /* fmla, fmls (by element) */
            return FMA;
        return SIMD_OTHER;
    case 4:
    case 6:
    case 12:
    case 14:
        return word >> 26 & 1 ? SIMD_MEMORY : REST;
    }
    return REST;
}

/* The distance in bytes that a conditional branch jumps, 0 for any other instruction. */
static int64_t jump(uint32_t word) {
    if ((word & 0xFF000010) == 0x54000000 || (word & 0x7E000000) == 0x34000000) /* b.cond; cbz, cbnz */
        return (int64_t)((int32_t)(word << 8) >> 13) * 4;
    if ((word & 0x7E000000) == 0x36000000) /* tbz, tbnz */
        return (int64_t)((int32_t)(word << 13) >> 18) * 4;
    return 0;
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb) {
    (void)id;
    size_t length = qemu_plugin_tb_n_insns(tb);
    Block *block = calloc(1, sizeof *block + length * sizeof(uint32_t));
    if (!block) abort();
    block->address = qemu_plugin_tb_vaddr(tb);
    block->length = length;
    block->function = "?";
    for (size_t i = 0; i < length; i++) {
        struct qemu_plugin_insn *instruction = qemu_plugin_tb_get_insn(tb, i);
        memcpy(&block->words[i], qemu_plugin_insn_data(instruction), 4);
        block->kinds[kind(block->words[i])]++;
        const char *name = i ? NULL : qemu_plugin_insn_symbol(instruction);
        if (name && *name) block->function = strdup(name);
    }
    /* User-mode QEMU translates under a lock. */
    block->next = blocks;
    blocks = block;
    qemu_plugin_register_vcpu_tb_exec_inline(tb, QEMU_PLUGIN_INLINE_ADD_U64, &block->times, 1);
}

static int by_function(const void *a, const void *b) {
    return strcmp((*(Block *const *)a)->function, (*(Block *const *)b)->function);
}

/* One instruction of the program, over all blocks that hold it. */
typedef struct Instruction {
    uint64_t address, times;
    uint32_t word;
    const char *function;
} Instruction;

static int by_address(const void *a, const void *b) {
    uint64_t x = ((const Instruction *)a)->address, y = ((const Instruction *)b)->address;
    return (x > y) - (x < y);
}

/* All instructions in the order of their addresses; their number in `count`. */
static Instruction *instructions(size_t *count) {
    size_t all = 0, n = 0, kept = 0;
    for (Block *b = blocks; b; b = b->next) all += b->length;
    Instruction *list = malloc((all + 1) * sizeof *list);
    if (!list) abort();
    for (Block *b = blocks; b; b = b->next)
        for (size_t i = 0; i < b->length; i++)
            list[n++] = (Instruction){b->address + 4 * i, b->times, b->words[i], b->function};
    qsort(list, n, sizeof *list, by_address);
    for (size_t i = 0; i < n; i++) {
        if (kept && list[kept - 1].address == list[i].address)
            list[kept - 1].times += list[i].times;
        else
            list[kept++] = list[i];
    }
    *count = kept;
    return list;
}

/* Prints the inner loop that ends with `last`, if one does: nothing in it jumps back but its end, and all of it is run
 * equally often. */
static void print_loop(FILE *file, const Instruction *all, const Instruction *last) {
    int64_t length = 1 - jump(last->word) / 4;
    if (length <= 1 || last - all + 1 < length || !last->times) return;
    const Instruction *first = last + 1 - length;
    uint32_t fma = 0;
    for (const Instruction *i = first; i <= last; i++) {
        if (i->address != last->address - 4 * (last - i) || i->times != last->times) return;
        if (i != last && jump(i->word) < 0) return;
        fma += kind(i->word) == FMA;
    }
    if (!fma) return;
    fprintf(file, "loop %" PRIu64 " %" PRIu32 " %s", last->times, fma, last->function);
    for (const Instruction *i = first; i <= last; i++) fprintf(file, " %08" PRIx32, i->word);
    fputc('\n', file);
}

static void finished(qemu_plugin_id_t id, void *unused) {
    (void)id, (void)unused;
    FILE *file = path ? fopen(path, "w") : stderr;
    size_t count = 0, i = 0;
    for (Block *b = blocks; b; b = b->next) count++;
    Block **sorted = malloc(count * sizeof *sorted);
    if (!file || !sorted) abort();
    for (Block *b = blocks; b; b = b->next) sorted[i++] = b;
    qsort(sorted, count, sizeof *sorted, by_function);
    for (i = 0; i < count;) {
        const char *name = sorted[i]->function;
        uint64_t executed = 0, kinds[KINDS] = {0};
        for (; i < count && !strcmp(sorted[i]->function, name); i++) {
            executed += sorted[i]->times * sorted[i]->length;
            for (int k = 0; k < KINDS; k++) kinds[k] += sorted[i]->times * sorted[i]->kinds[k];
        }
        if (executed)
            fprintf(file, "function %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %s\n", executed, kinds[FMA],
                    kinds[SIMD_MEMORY], kinds[SIMD_OTHER], name);
    }
    Instruction *all = instructions(&count);
    for (i = 0; i < count; i++) print_loop(file, all, all + i);
    fclose(file);
}

__attribute__((visibility("default"))) int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int count,
                                                               char **arguments) {
    (void)info;
    for (int i = 0; i < count; i++) {
        if (strncmp(arguments[i], "out=", 4)) return -1;
        path = strdup(arguments[i] + 4);
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, finished, NULL);
    return 0;
}
