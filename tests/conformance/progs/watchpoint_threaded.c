/* watchpoint_threaded [SECONDS]: after so many seconds, a new thread stores to a fixed address
 * a hundred times. */
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define ADDRESS ((void *)0x10000000)

static void *store(void *unused)
{
    volatile uint8_t *byte = mmap(ADDRESS, 4096, PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

    if ((void *)byte == MAP_FAILED)
        exit(1);
    for (int i = 0; i < 100; i++) {
        *byte = (uint8_t)i;
        usleep(250 * 1000);
    }
    return unused;
}

int main(int argc, char **argv)
{
    pthread_t thread;

    if (argc > 1)
        sleep((unsigned int)atoi(argv[1]));
    if (pthread_create(&thread, NULL, store, NULL) != 0)
        return 1;
    pthread_join(thread, NULL);
    return 0;
}
