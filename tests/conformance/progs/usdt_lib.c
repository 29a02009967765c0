/* Calls a shared library that has probes of its own. */
#include <unistd.h>

void myclock(void);

int main(void)
{
    for (;;) {
        myclock();
        usleep(100 * 1000);
    }
}
