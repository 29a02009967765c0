/* A shared library that is not executable as a program. */
void fun(void)
{
}
