/* Runs two instructions at a fixed address, a second after they are put there. */
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ADDRESS ((void *)0x10000000)

#if defined(__x86_64__)
static const uint8_t code[] = { 0x90, 0xc3 }; /* nop; ret */
#elif defined(__aarch64__)
static const uint32_t code[] = { 0xd503201f, 0xd65f03c0 }; /* nop; ret */
#else
#error "no instructions for this architecture"
#endif

int main(void)
{
    void *page = mmap(ADDRESS, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    void (*function)(void);

    if (page == MAP_FAILED)
        return 1;
    memcpy(page, code, sizeof(code));
    __builtin___clear_cache((char *)page, (char *)page + sizeof(code));
    sleep(1);
    memcpy(&function, &page, sizeof(function));
    function();
    return 0;
}
