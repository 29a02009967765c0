/* A probe with a semaphore, fired only while somebody listens. */
#define _SDT_HAS_SEMAPHORES 1
#include <stdio.h>
#include <sys/sdt.h>
#include <sys/time.h>
#include <unistd.h>

__extension__ volatile unsigned short tracetest_testprobe_semaphore
    __attribute__((section(".probes"), used));

int main(void)
{
    for (;;) {
        unsigned int count = tracetest_testprobe_semaphore;

        if (count > 0) {
            struct timeval now;
            char buffer[64];

            gettimeofday(&now, NULL);
            snprintf(buffer, sizeof(buffer), "USDT semaphore: %u\n", count);
            STAP_PROBE2(tracetest, testprobe, now.tv_sec, buffer);
        }
        usleep(1000);
    }
}
