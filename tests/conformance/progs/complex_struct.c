/* One structure with arrays of every integer width and a pointer. */
#include <stdint.h>

struct Foo {
    char *a;
    char b[4];
    uint8_t c[4];
    int d[4];
    uint16_t e[4];
    uint64_t f[4];
};

int func(struct Foo *foo)
{
    return foo->d[0];
}

int main(void)
{
    char bytes[4] = { 9, 8, 7, 6 };
    struct Foo foo = {
        .a = bytes,
        .b = { 5, 4, 3, 2 },
        .c = { 1, 2, 3, 4 },
        .d = { 5, 6, 7, 8 },
        .e = { 9, 10, 11, 12 },
        .f = { 13, 14, 15, 16 },
    };

    func(&foo);
    return 0;
}
