// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * stopwatch COMMAND...: runs COMMAND and prints when it had ended, in
 * microseconds of the monotonic clock. What COMMAND prints is lost. Fails if
 * it fails.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void run(char **command)
{
	int null = open("/dev/null", O_WRONLY);

	if (null < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0)
		die("/dev/null");
	execvp(command[0], command);
	_exit(127);
}

int main(int argc, char **argv)
{
	struct timespec end;
	pid_t child;
	int status;

	if (argc < 2)
		die("usage: stopwatch COMMAND...");
	child = fork();
	if (!child)
		run(argv + 1);
	if (child < 0 || waitpid(child, &status, 0) < 0)
		die(argv[1]);
	clock_gettime(CLOCK_MONOTONIC, &end);
	if (status)
		return 1;
	printf("%lld\n", end.tv_sec * 1000000LL + end.tv_nsec / 1000);
	return 0;
}
