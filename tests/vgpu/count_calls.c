/* Counts the system calls of a program: count_calls PROGRAM [ARGUMENT...]
 * Owns: the count, on standard error as "calls N"; the program's output goes nowhere. 77 where
 *   the machine does not let programs be traced.
 * Does not own: what is compared with what (preload_test.py).
 * Threading: one thread; only the first thread of the program is counted, and that there is
 *   another shows as its clone. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  const pid_t child = fork();
  if (child == 0) {
    if (ptrace(PTRACE_TRACEME, 0, 0, 0) != 0) _exit(77);
    const int nothing = open("/dev/null", O_WRONLY);
    dup2(nothing, 1);
    dup2(nothing, 2);
    execvp(argv[1], argv + 1);
    _exit(errno == EPERM ? 77 : 127);
  }
  /* Stops once at exec, then before and after each call. */
  int status = 0;
  unsigned long stops = 0;
  int pass_on = 0;
  while (waitpid(child, &status, 0) == child && WIFSTOPPED(status)) {
    const int signal = WSTOPSIG(status);
    pass_on = signal == SIGTRAP || signal == (SIGTRAP | 0x80) ? 0 : signal;
    if (signal == (SIGTRAP | 0x80)) ++stops;
    ptrace(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
    if (ptrace(PTRACE_SYSCALL, child, 0, pass_on) != 0) return 77;
  }
  fprintf(stderr, "calls %lu\n", (stops + 1) / 2);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
