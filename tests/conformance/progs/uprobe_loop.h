/* The body of uprobe_loop and uprobe_fork_loop. */
#ifndef UPROBE_LOOP_H
#define UPROBE_LOOP_H

#include <unistd.h>

__attribute__((noinline)) int uprobeFunction1(int *n, char c)
{
    (void)c;
    return *n;
}

__attribute__((noinline)) void spin(void)
{
    int n = 13;

    for (;;) {
        uprobeFunction1(&n, 'x');
        usleep(500);
    }
}

#endif
