/* One probe at two places: in a function that is always inlined, called from two others. */
#include <sys/sdt.h>
#include <sys/time.h>
#include <unistd.h>

static inline __attribute__((always_inline)) void myclock(int n)
{
    struct timeval now;

    gettimeofday(&now, NULL);
    DTRACE_PROBE2(tracetest, testprobe, now.tv_sec, n);
}

static inline __attribute__((always_inline)) void mywrapper_inlined(int n)
{
    myclock(n);
}

static __attribute__((noinline)) void mywrapper(void)
{
    mywrapper_inlined(100);
}

static __attribute__((noinline)) void loop(void)
{
    for (;;) {
        myclock(999);
        mywrapper();
        sleep(1);
    }
}

int main(void)
{
    loop();
    return 0;
}
