/* One firing for each kind of operand and each width, all with the same bits. */
#include <stdint.h>
#include <sys/sdt.h>

#define VALUE 0xf7f6f5f4f3f2f1f0ULL

/* Fires PREFIX_u64, PREFIX_64, ... with the expressions that VALUE_OF(type, name) gives.
 * STAP_SDT_ARG_CONSTRAINT is read where the probes are expanded. */
#define FIRE(prefix, VALUE_OF)                                         \
    do {                                                               \
        STAP_PROBE1(usdt_args, prefix##_u64, VALUE_OF(uint64_t, u64)); \
        STAP_PROBE1(usdt_args, prefix##_64, VALUE_OF(int64_t, s64));   \
        STAP_PROBE1(usdt_args, prefix##_u32, VALUE_OF(uint32_t, u32)); \
        STAP_PROBE1(usdt_args, prefix##_32, VALUE_OF(int32_t, s32));   \
        STAP_PROBE1(usdt_args, prefix##_u16, VALUE_OF(uint16_t, u16)); \
        STAP_PROBE1(usdt_args, prefix##_16, VALUE_OF(int16_t, s16));   \
        STAP_PROBE1(usdt_args, prefix##_u8, VALUE_OF(uint8_t, u8));    \
        STAP_PROBE1(usdt_args, prefix##_8, VALUE_OF(int8_t, s8));      \
    } while (0)

#define CONSTANT(type, name) (type) VALUE
#define VARIABLE(type, name) values.name

static const struct {
    uint64_t u64;
    int64_t s64;
    uint32_t u32;
    int32_t s32;
    uint16_t u16;
    int16_t s16;
    uint8_t u8;
    int8_t s8;
} initial = { VALUE,           (int64_t)VALUE, (uint32_t)VALUE, (int32_t)VALUE,
              (uint16_t)VALUE, (int16_t)VALUE, (uint8_t)VALUE,  (int8_t)VALUE };

#undef STAP_SDT_ARG_CONSTRAINT
#define STAP_SDT_ARG_CONSTRAINT n
static void fire_constants(void)
{
    FIRE(const, CONSTANT);
}

#undef STAP_SDT_ARG_CONSTRAINT
#define STAP_SDT_ARG_CONSTRAINT r
static void fire_registers(void)
{
    __typeof__(initial) values = initial;

    FIRE(reg, VARIABLE);
}

#undef STAP_SDT_ARG_CONSTRAINT
#define STAP_SDT_ARG_CONSTRAINT m
static void fire_addresses(void)
{
    __typeof__(initial) values = initial;

    FIRE(addr, VARIABLE);
}

/* No constraint asks the compiler for base + index * scale, so the probe's note is written out. */
#if defined(__x86_64__)
#define INDEX_PROBE(name, type, operand)                                                        \
    do {                                                                                        \
        static volatile type elements[4] = { 0, 0, 0, (type)VALUE };                            \
        __asm__ volatile("990: nop\n"                                                           \
                         ".pushsection .note.stapsdt,\"?\",\"note\"\n"                          \
                         ".balign 4\n"                                                          \
                         ".4byte 992f-991f, 994f-993f, 3\n"                                     \
                         "991: .asciz \"stapsdt\"\n"                                            \
                         "992: .balign 4\n"                                                     \
                         "993: .8byte 990b\n"                                                   \
                         ".8byte _.stapsdt.base\n"                                              \
                         ".8byte 0\n"                                                           \
                         ".asciz \"usdt_args\"\n"                                               \
                         ".asciz \"index_" #name "\"\n"                                         \
                         ".asciz \"" operand "\"\n"                                             \
                         "994: .balign 4\n"                                                     \
                         ".popsection\n"                                                        \
                         :                                                                      \
                         : "a"(elements), "d"(3L), "m"(elements));                              \
    } while (0)

static void fire_indexed(void)
{
    INDEX_PROBE(u64, uint64_t, "8@(%%rax,%%rdx,8)");
    INDEX_PROBE(64, int64_t, "-8@(%%rax,%%rdx,8)");
    INDEX_PROBE(u32, uint32_t, "4@(%%rax,%%rdx,4)");
    INDEX_PROBE(32, int32_t, "-4@(%%rax,%%rdx,4)");
    INDEX_PROBE(u16, uint16_t, "2@(%%rax,%%rdx,2)");
    INDEX_PROBE(16, int16_t, "-2@(%%rax,%%rdx,2)");
    INDEX_PROBE(u8, uint8_t, "1@(%%rax,%%rdx,1)");
    INDEX_PROBE(8, int8_t, "-1@(%%rax,%%rdx,1)");
}
#else
static void fire_indexed(void)
{
    __typeof__(initial) values = initial;

    FIRE(index, VARIABLE);
}
#endif

int main(void)
{
    fire_constants();
    fire_registers();
    fire_addresses();
    fire_indexed();
    return 0;
}
