/* Does nothing: the smallest target. */
int main(void)
{
    return 0;
}
