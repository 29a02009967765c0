/* What the two mount name space wrappers share. */
#ifndef MOUNTNS_H
#define MOUNTNS_H

#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* {{tmp}} of the conformance data: TMPDIR, or /tmp. */
static inline const char *temporary_directory(void)
{
    const char *dir = getenv("TMPDIR");

    return dir && *dir ? dir : "/tmp";
}

static inline void make_directory(const char *path)
{
    if (mkdir(path, 0755) != 0 && errno != EEXIST)
        err(1, "mkdir %s", path);
}

/* The directory that holds this executable. */
static inline void own_directory(char out[PATH_MAX])
{
    ssize_t length = readlink("/proc/self/exe", out, PATH_MAX - 1);

    if (length < 0)
        err(1, "readlink /proc/self/exe");
    out[length] = '\0';
    memmove(out, dirname(out), strlen(out) + 1);
}

static inline void private_mounts(void)
{
    if (unshare(CLONE_NEWNS) != 0)
        err(1, "unshare");
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        err(1, "make / private");
}

static inline void bind_mount(const char *from, const char *to)
{
    if (mount(from, to, NULL, MS_BIND | MS_REC, NULL) != 0)
        err(1, "bind %s on %s", from, to);
}

#endif
