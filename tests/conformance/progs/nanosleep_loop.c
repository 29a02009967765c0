/* Sleeps a tenth of a second ten thousand times. */
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int main(void)
{
    struct timespec pause = { 0, 100 * 1000 * 1000 };

    for (int i = 0; i < 10000; i++)
        syscall(SYS_nanosleep, &pause, NULL);
    return 0;
}
