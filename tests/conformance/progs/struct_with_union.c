/* A union inside a structure; one of its members is a float. */
union N {
    int i;
    float f;
};

struct Foo {
    int m;
    union N n;
};

int func(struct Foo *foo)
{
    return foo->n.i;
}

int main(void)
{
    struct Foo foo = { .m = 2, .n = { .i = 5 } };

    func(&foo);
    return 0;
}
