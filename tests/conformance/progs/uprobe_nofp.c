/* A chain of calls, built without frame pointers. */
#include <unistd.h>

#define LINK __attribute__((noinline, noclone))

LINK int funcD(int n)
{
    __asm__ volatile("" : "+r"(n));
    return n + 1;
}

LINK int funcC(int n)
{
    int result = funcD(n + 1);

    __asm__ volatile("" : "+r"(result));
    return result + 1;
}

LINK int funcB(int n)
{
    int result = funcC(n + 1);

    __asm__ volatile("" : "+r"(result));
    return result + 1;
}

LINK int funcA(int n)
{
    int result = funcB(n + 1);

    __asm__ volatile("" : "+r"(result));
    return result + 1;
}

int main(void)
{
    int n = 0;

    for (;;) {
        n = funcA(n) & 0xff;
        usleep(500);
    }
}
