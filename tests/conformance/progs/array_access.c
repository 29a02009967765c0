/* Hands arrays in structures, by pointer, to empty functions. */
#include <stdint.h>

struct A {
    int x[4];
    uint8_t y[4];
};

struct B {
    int y[2][2];
};

struct C {
    int *z[4];
};

struct D {
    int x;
    int y[0];
    int z;
};

void test_struct(struct A *a, struct B *b)
{
    (void)a;
    (void)b;
}

void test_array(int *a)
{
    (void)a;
}

void test_ptr_array(struct C *c)
{
    (void)c;
}

void test_arrays(struct A *a, struct A *b)
{
    (void)a;
    (void)b;
}

void test_variable_array(struct D *d)
{
    (void)d;
}

int main(void)
{
    struct A a = { { 1, 2, 3, 4 }, { 0xaa, 0xbb, 0xcc, 0xdd } };
    struct A reversed = { { 4, 3, 2, 1 }, { 0xaa, 0xbb, 0xcc, 0xdd } };
    struct B b = { { { 5, 6 }, { 7, 8 } } };
    struct C c;
    struct D d;

    for (int i = 0; i < 4; i++)
        c.z[i] = &a.x[i];
    d.x = 0;
    d.z = 1;

    test_struct(&a, &b);
    test_array(a.x);
    test_ptr_array(&c);
    test_arrays(&a, &reversed);
    test_variable_array(&d);
    return 0;
}
