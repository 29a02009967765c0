/* mountns_wrapper PROG: in a mount name space of its own, binds its directory on
 * TMPDIR/bpftrace-unshare-mountns-test and becomes the PROG seen there. */
#include "mountns.h"

int main(int argc, char **argv)
{
    char own[PATH_MAX], target[PATH_MAX], program[PATH_MAX + NAME_MAX + 2];

    if (argc != 2)
        errx(2, "usage: %s PROG", argv[0]);
    own_directory(own);
    snprintf(target, sizeof(target), "%s/bpftrace-unshare-mountns-test", temporary_directory());
    make_directory(target);
    private_mounts();
    bind_mount(own, target);
    snprintf(program, sizeof(program), "%s/%s", target, argv[1]);
    execl(program, program, (char *)NULL);
    err(1, "exec %s", program);
}
