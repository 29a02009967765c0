#include <unistd.h> /* Cases name lines 22, 34, 36 and 39 of this file: keep them in place. */
int GLOBAL_A = 0x55555555;
int GLOBAL_B = 0x88888888;
int GLOBAL_C = 0x33333333;
char GLOBAL_D = 8;
struct Foo {
    int a;
    char b[10];
    int c[3];
    __int128 d;
};
struct Bar {
    int x;
    struct Foo *foos[2];
    struct Foo nested;
};

/* Each function does next to nothing: what counts is its arguments. */
int uprobeFunction1(int *n, char c __attribute__((unused)))
{

    return *n;
}

struct Foo *uprobeFunction2(struct Foo *foo1, struct Foo *foo2 __attribute__((unused)))
{
    return foo1;
}

int uprobeFunctionBranching(int n)
{
    int sum = 0;

    if (n > 10)

        sum = n + 1;

    else
        sum = n - 1;
    return sum;
}

int uprobeFunctionBar(struct Bar *bar)
{
    return bar->x;
}

__uint128_t uprobeFunctionUint128(__uint128_t x, __uint128_t y, __uint128_t z, __uint128_t w)
{
    (void)y;
    (void)z;
    return x + w;
}

static void call_all(void)
{
    int n = 13;
    struct Foo foo1 = { .a = 123, .b = "hello", .c = { 1, 2, 3 } };
    struct Foo foo2 = { .a = 456, .b = "world", .c = { 4, 5, 6 } };
    struct Bar bar = { .x = 42, .foos = { &foo1, &foo2 } };
    __uint128_t wide = ((__uint128_t)0x123456789abcdef0ULL << 64) | 0xfedcba9876543210ULL;

    foo1.d = (__int128)0x123456789ABCDEF0LL;
    foo2.d = (__int128)0xFEDCBA9876543210ULL;
    bar.nested = foo1;

    uprobeFunction1(&n, 'x');
    uprobeFunction2(&foo1, &foo2);
    uprobeFunctionBranching(n);
    uprobeFunctionBar(&bar);
    uprobeFunctionUint128(wide, wide + 1, wide + 2, wide + 3);
}

int main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    for (;;) {
        call_all();
        usleep(100 * 1000);
    }
}
