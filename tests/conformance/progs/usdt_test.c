/* Three probes of two providers, every tenth of a second. */
#include <sys/sdt.h>
#include <sys/time.h>
#include <unistd.h>

int main(void)
{
    for (;;) {
        struct timeval now;

        gettimeofday(&now, NULL);
        DTRACE_PROBE2(tracetest, testprobe, now.tv_sec, "Hello World1");
        DTRACE_PROBE2(tracetest, testprobe2, now.tv_sec, "Hello World2");
        DTRACE_PROBE2(tracetest2, testprobe2, now.tv_sec, "Hello World3");
        usleep(100 * 1000);
    }
}
