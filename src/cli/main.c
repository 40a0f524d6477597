#include "cli/program.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* A closed standard descriptor would be taken by the first file that is opened, a pack of the
 * repository perhaps, and printing would write into it. */
static void open_standard_files(void)
{
    for (int descriptor = STDIN_FILENO; descriptor <= STDERR_FILENO; descriptor++)
        if (fcntl(descriptor, F_GETFD) == -1 && open("/dev/null", O_RDWR) != descriptor)
            abort();
}

int main(int argc, char *argv[])
{
    open_standard_files();
    return program_main(argc, argv);
}
