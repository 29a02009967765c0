/* Calls a function for ever, with a short pause. */
#include <unistd.h>

__attribute__((noinline)) int doWork(int *n, int o)
{
    *n += o;
    return *n;
}

__attribute__((noinline)) void spin(void)
{
    int n = 0;

    for (;;) {
        doWork(&n, 1);
        usleep(10);
    }
}

int main(void)
{
    spin();
    return 0;
}
