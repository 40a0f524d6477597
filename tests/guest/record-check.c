/* record-check [--crash] FILE|DIRECTORY: checks a file of the test guest's records
 * (DIRECTORY/records for a directory).
 *
 * Prints `last N` and a line `mark N TEXT` for each mark. Exit status 0: all good; 1: a record is
 * damaged or missing, said on stderr; 2: cannot be read. With --crash a torn last record is allowed
 * (and reported as `torn`), as after a power failure.
 */
#include "record.h"

#include <err.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void print_mark(void *opaque, uint64_t number, const char *text)
{
    (void)opaque;
    printf("mark %" PRIu64 " %s\n", number, text);
}

static int open_records(const char *path)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        err(2, "%s", path);
    if (fstat(fd, &st) < 0)
        err(2, "%s", path);
    if (!S_ISDIR(st.st_mode))
        return fd;
    int inside = openat(fd, "records", O_RDONLY | O_CLOEXEC);
    if (inside < 0)
        err(2, "%s/records", path);
    close(fd);
    return inside;
}

int main(int argc, char **argv)
{
    struct record_scan scan;
    bool crash = argc > 1 && strcmp(argv[1], "--crash") == 0;
    if (argc != (crash ? 3 : 2))
        errx(2, "usage: record-check [--crash] FILE|DIRECTORY");
    const char *path = argv[argc - 1];

    if (record_read_all(open_records(path), print_mark, NULL, &scan) < 0)
        err(2, "%s", path);
    printf("last %" PRIu64 "\n", scan.last);
    if (scan.torn && crash) {
        printf("torn\n");
        return 0;
    }
    if (scan.torn || scan.damaged)
        errx(1, "%s: %s", path, scan.reason);
    return 0;
}
