/*
 * Calls that cost the kernel next to nothing, for a tracer to watch.
 *
 *     work calls MODE COUNT [CPU]      COUNT calls; prints COUNT and nanoseconds a call
 *     work storm MODE SECONDS [CPU]    calls for a time; prints their number and nanoseconds a call
 *
 * The price of a call is the median over 200 parts, which leaves interruptions out.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PARTS 200

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}

static int compare(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;

	return (a > b) - (a < b);
}

static void call(char mode, long from, long to)
{
	char byte;
	long i;

	switch (mode) {
	case 'g': /* getppid */
		for (i = from; i < to; i++)
			syscall(SYS_getppid);
		break;
	case 'r': /* read: fails at once; the count is 0 to 4095 */
		for (i = from; i < to; i++)
			syscall(SYS_read, -1, &byte, i & 4095);
		break;
	case 'l': /* lseek: fails at once; each offset is new */
		for (i = from; i < to; i++)
			syscall(SYS_lseek, -1, i, 0);
		break;
	case 'o': /* openat of a file that is not there */
		for (i = from; i < to; i++)
			syscall(SYS_openat, -100, "/no/such/directory/with/a/name.txt", 0, 0);
		break;
	default:
		fprintf(stderr, "unknown mode\n");
		exit(2);
	}
}

int main(int count, char **words)
{
	double parts[PARTS], seconds, start;
	cpu_set_t cpus;
	long total, done = 0;
	int part;

	if (count < 4)
		return 2;
	CPU_ZERO(&cpus);
	CPU_SET(count > 4 ? atoi(words[4]) : 0, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
	start = now();
	if (!strcmp(words[1], "storm")) {
		seconds = atof(words[3]);
		for (; now() - start < seconds; done += 100)
			call(words[2][0], done, done + 100);
		printf("%ld %.2f\n", done, (now() - start) / done * 1e9);
		return 0;
	}
	total = atol(words[3]);
	for (part = 0; part < PARTS; part++) {
		long end = total / PARTS * (part + 1) + total % PARTS * (part == PARTS - 1);

		start = now();
		call(words[2][0], done, end);
		parts[part] = end > done ? (now() - start) / (end - done) : 0;
		done = end;
	}
	qsort(parts, PARTS, sizeof(double), compare);
	printf("%ld %.2f\n", done, parts[PARTS / 2] * 1e9);
	return 0;
}
