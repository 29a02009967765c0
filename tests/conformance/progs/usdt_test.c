/* Three probes of two providers, every tenth of a second. The strings are on the stack: a page
 * that the program itself never read could not be read by a tracer either. */
#include <sys/sdt.h>
#include <sys/time.h>
#include <unistd.h>

int main(void)
{
    char first[] = "Hello World1";
    char second[] = "Hello World2";
    char third[] = "Hello World3";

    for (;;) {
        struct timeval now;

        gettimeofday(&now, NULL);
        DTRACE_PROBE2(tracetest, testprobe, now.tv_sec, first);
        DTRACE_PROBE2(tracetest, testprobe2, now.tv_sec, second);
        DTRACE_PROBE2(tracetest2, testprobe2, now.tv_sec, third);
        usleep(100 * 1000);
    }
}
