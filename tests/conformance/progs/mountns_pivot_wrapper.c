/* mountns_pivot_wrapper PROG: in a mount name space of its own, makes a root out of PROG and the
 * system's library directories, moves into it with pivot_root and becomes /PROG. */
#include "mountns.h"
#include <fcntl.h>

static const char *const library_directories[] = { "/lib", "/lib64", "/usr/lib", "/usr/lib64" };

static void bind_libraries(const char *root)
{
    char target[PATH_MAX];

    snprintf(target, sizeof(target), "%s/usr", root);
    make_directory(target);
    for (size_t i = 0; i < sizeof(library_directories) / sizeof(library_directories[0]); i++) {
        const char *from = library_directories[i];

        if (access(from, F_OK) != 0)
            continue;
        snprintf(target, sizeof(target), "%s%s", root, from);
        make_directory(target);
        bind_mount(from, target);
    }
}

static void bind_program(const char *from, const char *to)
{
    int fd = open(to, O_CREAT | O_WRONLY | O_CLOEXEC, 0755);

    if (fd < 0)
        err(1, "create %s", to);
    close(fd);
    bind_mount(from, to);
}

int main(int argc, char **argv)
{
    char own[PATH_MAX], root[PATH_MAX];
    char from[PATH_MAX + NAME_MAX + 2], to[PATH_MAX + NAME_MAX + 2];

    if (argc != 2)
        errx(2, "usage: %s PROG", argv[0]);
    own_directory(own);
    snprintf(root, sizeof(root), "%s/bpftrace-unshare-mountns-pivot-test", temporary_directory());
    make_directory(root);
    private_mounts();
    if (mount("tmpfs", root, "tmpfs", 0, NULL) != 0)
        err(1, "mount tmpfs on %s", root);
    bind_libraries(root);
    snprintf(from, sizeof(from), "%s/%s", own, argv[1]);
    snprintf(to, sizeof(to), "%s/%s", root, argv[1]);
    bind_program(from, to);

    /* With "." for both, the old root lies on top of the new one until it is unmounted. */
    if (chdir(root) != 0 || syscall(SYS_pivot_root, ".", ".") != 0)
        err(1, "pivot_root %s", root);
    if (umount2(".", MNT_DETACH) != 0 || chdir("/") != 0)
        err(1, "leave the old root");
    snprintf(to, sizeof(to), "/%s", argv[1]);
    execl(to, to, (char *)NULL);
    err(1, "exec %s", to);
}
