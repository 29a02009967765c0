/* Calls a few functions of the C library. */
#include <stdio.h>

int main(void)
{
    char buffer[4];
    FILE *file = fopen("/dev/zero", "r");

    if (!file)
        return 1;
    size_t got = fread(buffer, 1, sizeof(buffer), file);
    fclose(file);
    return got != sizeof(buffer);
}
