/* The library of usdt_lib: three firings of two providers' probes. */
#include <stddef.h>
#include <sys/sdt.h>
#include <sys/time.h>

void myclock(void)
{
    char first[] = "Hello World1";
    char second[] = "Hello World2";
    char third[] = "Hello World3";
    struct timeval now;

    gettimeofday(&now, NULL);
    DTRACE_PROBE2(tracetestlib, lib_probe_1, now.tv_sec, first);
    DTRACE_PROBE2(tracetestlib, lib_probe_1, now.tv_sec, second);
    DTRACE_PROBE2(tracetestlib2, lib_probe_2, now.tv_sec, third);
}
