#include "cli/program.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* A closed standard descriptor would be taken by the first file that is opened, a pack of the
 * repository perhaps, and printing would write into it. */
static void open_standard_files(void)
{
    for (int descriptor = STDIN_FILENO; descriptor <= STDERR_FILENO; descriptor++)
        if (fcntl(descriptor, F_GETFD) == -1 && open("/dev/null", O_RDWR) != descriptor)
            abort();
}

/* Keys and guests' data are in this process: no core file of it, also not by way of a program that
 * the kernel pipes it to, no look into it by other processes of the same user, and no file of it
 * for others, whatever was inherited. Here and not in program_main(), so that tests can be
 * debugged. */
static void keep_secrets(void)
{
    const struct rlimit none = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &none);
    (void)prctl(PR_SET_DUMPABLE, 0);
    (void)umask(0077);
}

int main(int argc, char *argv[])
{
    open_standard_files();
    keep_secrets();
    return program_main(argc, argv);
}
