/* A structure by pointer, then a pointer to its second member. */
struct Foo {
    int m;
    int n;
};

int func(struct Foo *foo)
{
    return foo->m;
}

int n_func(int *n)
{
    return *n;
}

int main(void)
{
    struct Foo foo = { .m = 2, .n = 3 };

    func(&foo);
    n_func(&foo.n);
    return 0;
}
