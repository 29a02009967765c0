/* Returns every number from -120 to 100, then ends with a negative status. */
__attribute__((noinline)) int function1(int x)
{
    return x;
}

int main(void)
{
    for (int x = -120; x <= 100; x++)
        function1(x);
    return -100;
}
