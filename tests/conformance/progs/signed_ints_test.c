/* An unsigned zero, for comparisons that a signed reading gets wrong. */
struct x {
    unsigned long x;
};

unsigned long test_signed_ints(struct x *x)
{
    return x->x;
}

int main(void)
{
    struct x x = { 0 };

    return (int)test_signed_ints(&x);
}
