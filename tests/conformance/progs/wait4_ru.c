/* Waits for a child with wait4 and asks for its resource usage. */
#include <sys/resource.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
    struct rusage usage;
    int status;
    pid_t pid = fork();

    if (pid < 0)
        return 1;
    if (pid == 0)
        _exit(0);
    return wait4(pid, &status, 0, &usage) != pid;
}
