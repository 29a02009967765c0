"""Boots stock Debian kernels under QEMU and runs commands and tests in them.

The guest holds this checkout, the Python that runs it and the machine's own small programs, all
at the paths that they have outside; nothing is installed or compiled in it. QEMU translates
instructions (TCG), so it needs no rights and no hardware support, and everything is about ten
times slower than outside: counts and values mean something there, times do not.

    kernels.py    the kernel packages: newest of a series, downloaded, unpacked
    contents.py   what the root file system holds
    image.py      root file system and volume as ext4 images, kept by content
    init, agent.py   the two programs that run the guest from inside
    guest.py      one running guest: boot, run commands, end
    pool.py       the guests of a test session
    __main__.py   the command behind `make guest`
"""
