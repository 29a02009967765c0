/* Calls a function for ever, every half millisecond. */
#include "uprobe_loop.h"

int main(void)
{
    spin();
    return 0;
}
