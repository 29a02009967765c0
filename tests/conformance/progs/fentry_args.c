/* fentry_args CMD SIZE: bpf(CMD, buffer, SIZE) for ever. The buffer is never all zero, so that
 * the kernel answers E2BIG to a size beyond its own attribute union. */
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    static char buffer[1 << 16];

    if (argc != 3)
        return 2;
    memset(buffer, 0xff, sizeof(buffer));
    int cmd = atoi(argv[1]);
    unsigned int size = (unsigned int)strtoul(argv[2], NULL, 0);
    for (;;)
        syscall(SYS_bpf, cmd, buffer, size);
}
