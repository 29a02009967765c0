/* Hands a null pointer to a function, for a read that must fail. */
#include <stdio.h>

struct foo {
    int a;
};

int test_helper_error(struct foo *foo)
{
    return printf("%p\n", (void *)foo) < 0;
}

int main(void)
{
    return test_helper_error(NULL);
}
