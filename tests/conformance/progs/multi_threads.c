/* A child process with a named thread that starts another: comm, leader and parent all differ. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

__attribute__((noinline)) void stub(void)
{
    __asm__ volatile("");
}

static void *grandson(void *unused)
{
    prctl(PR_SET_NAME, "grandson-thread");
    stub();
    return unused;
}

static void *son(void *unused)
{
    pthread_t thread;

    prctl(PR_SET_NAME, "son-thread");
    stub();
    if (pthread_create(&thread, NULL, grandson, NULL) == 0)
        pthread_join(thread, NULL);
    return unused;
}

static int child(void)
{
    pthread_t thread;

    prctl(PR_SET_NAME, "parent-thread");
    if (pthread_create(&thread, NULL, son, NULL) != 0)
        return 1;
    pthread_join(thread, NULL);
    return 0;
}

int main(void)
{
    int status = 1;
    pid_t pid = fork();

    if (pid < 0)
        return 1;
    if (pid == 0)
        return child();
    waitpid(pid, &status, 0);
    return status != 0;
}
