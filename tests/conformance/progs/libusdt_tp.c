/* The library of usdt_lib: three firings of two providers' probes. */
#include <stddef.h>
#include <sys/sdt.h>
#include <sys/time.h>

void myclock(void)
{
    struct timeval now;

    gettimeofday(&now, NULL);
    DTRACE_PROBE2(tracetestlib, lib_probe_1, now.tv_sec, "Hello World1");
    DTRACE_PROBE2(tracetestlib, lib_probe_1, now.tv_sec, "Hello World2");
    DTRACE_PROBE2(tracetestlib2, lib_probe_2, now.tv_sec, "Hello World3");
}
