/* syscall NAME ARGS: issues one raw system call. Names: nanosleep, open, openat, read, execve,
 * connect. The exit status says whether the call itself could be made. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define FILE_PREFIX "bpftrace_runtime_test_syscall_gen_"

static void temporary_path(char out[PATH_MAX], const char *name)
{
    const char *dir = getenv("TMPDIR");

    snprintf(out, PATH_MAX, "%s/" FILE_PREFIX "%s_temp", dir && *dir ? dir : "/tmp", name);
}

/* nanosleep [NS]: NS may be written like 1e8. */
static int do_nanosleep(int argc, char **argv)
{
    unsigned long long ns = argc > 0 ? (unsigned long long)strtod(argv[0], NULL) : 100;
    struct timespec pause = { (time_t)(ns / 1000000000ULL), (long)(ns % 1000000000ULL) };

    return syscall(SYS_nanosleep, &pause, NULL) != 0;
}

static int do_open(int argc, char **argv)
{
    char path[PATH_MAX];
    long fd;

    (void)argc;
    (void)argv;
    temporary_path(path, "open");
#ifdef SYS_open
    fd = syscall(SYS_open, path, O_CREAT, S_IRUSR | S_IWUSR);
#else
    fd = syscall(SYS_openat, AT_FDCWD, path, O_CREAT, S_IRUSR | S_IWUSR);
#endif
    if (fd < 0)
        err(1, "open %s", path);
    close((int)fd);
    unlink(path);
    return 0;
}

static int do_openat(int argc, char **argv)
{
    char path[PATH_MAX];
    long fd;

    (void)argc;
    (void)argv;
    temporary_path(path, "open");
    fd = syscall(SYS_openat, AT_FDCWD, path, O_CREAT, S_IRUSR | S_IWUSR);
    if (fd < 0)
        err(1, "openat %s", path);
    close((int)fd);
    unlink(path);
    return 0;
}

/* Reads nothing, from a file made for it. */
static int do_read(int argc, char **argv)
{
    char path[PATH_MAX], buffer[1];
    int fd;

    (void)argc;
    (void)argv;
    temporary_path(path, "read");
    fd = open(path, O_CREAT | O_RDONLY, S_IRUSR | S_IWUSR);
    if (fd < 0)
        err(1, "open %s", path);
    long got = syscall(SYS_read, fd, buffer, (size_t)0);
    close(fd);
    unlink(path);
    return got != 0;
}

static int do_execve(int argc, char **argv)
{
    char *environment[] = { NULL };

    if (argc < 1)
        errx(2, "execve PATH ARGS");
    syscall(SYS_execve, argv[0], argv, environment);
    err(1, "execve");
}

static int do_connect(int argc, char **argv)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    int fd;

    if (argc != 2 || inet_pton(AF_INET, argv[0], &address.sin_addr) != 1)
        errx(2, "connect IPV4 PORT");
    address.sin_port = htons((uint16_t)atoi(argv[1]));
    fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0)
        err(1, "socket");
    long result = syscall(SYS_connect, fd, &address, sizeof(address));
    close(fd);
    return result != 0;
}

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} calls[] = {
    { "nanosleep", do_nanosleep }, { "open", do_open },     { "openat", do_openat },
    { "read", do_read },           { "execve", do_execve }, { "connect", do_connect },
};

int main(int argc, char **argv)
{
    if (argc < 2)
        errx(2, "usage: %s NAME ARGS", argv[0]);
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
        if (strcmp(calls[i].name, argv[1]) == 0)
            return calls[i].run(argc - 2, argv + 2);
    errx(2, "unknown system call %s", argv[1]);
}
