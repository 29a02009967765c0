/* Two processes that both call a function for ever. */
#include "uprobe_loop.h"

int main(void)
{
    if (fork() < 0)
        return 1;
    spin();
    return 0;
}
