/* Two strings on the stack. */
int print(char *a, char *b)
{
    return a[0] == b[0];
}

int main(void)
{
    char a[] = "hello";
    char b[] = "world";

    print(a, b);
    return 0;
}
