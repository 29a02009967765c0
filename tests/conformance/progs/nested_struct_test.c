/* A structure with an anonymous structure inside. */
struct Foo {
    int m;
    struct {
        int x;
        int y;
    } bar;
    int n;
};

int test_nested_struct(struct Foo *foo)
{
    return foo->bar.x;
}

int main(void)
{
    struct Foo foo = { .m = 10, .bar = { .x = 20, .y = 30 }, .n = 40 };

    test_nested_struct(&foo);
    return 0;
}
