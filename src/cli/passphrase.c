/* Read with read(2), not stdio: no copy stays behind in a buffer. */
#include "cli/passphrase.h"

#include "base/log.h"
#include "base/memory.h"
#include "cli/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* Room for the longest one, "\r\n" and a byte that shows that there is more. */
enum { BUFFER_SIZE = passphrase_limit + 3 };

void passphrase_free(char *passphrase)
{
    if (passphrase)
        memory_wipe(passphrase, BUFFER_SIZE);
    free(passphrase);
}

static void warn_of_readers(int descriptor, const char *file)
{
    struct stat status;
    if (fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode) && (status.st_mode & 0077))
        log_warning("passphrase file %s: others than its owner may use it (mode %04o); chmod 600",
                    file, (unsigned)status.st_mode & 07777);
}

/* The number of bytes up to the end of the file or of the buffer. */
static ssize_t read_whole(int descriptor, char *buffer)
{
    size_t used = 0;
    while (used < BUFFER_SIZE) {
        ssize_t got = read(descriptor, buffer + used, BUFFER_SIZE - used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        used += (size_t)got;
    }
    return (ssize_t)used;
}

static int unusable(struct error *error)
{
    return error_advise(error, "passphrase-unusable",
                        "it is the whole file without a newline at its end, or what is typed");
}

static int check(const char *buffer, size_t size, const char *what, struct error *error)
{
    if (size == 0) {
        (void)error_set(error, ERROR_USAGE, "%s: the passphrase is empty", what);
        return unusable(error);
    }
    if (size > passphrase_limit) {
        (void)error_set(error, ERROR_USAGE, "%s: the passphrase is longer than %d bytes", what,
                        passphrase_limit);
        return unusable(error);
    }
    if (memchr(buffer, '\0', size)) {
        (void)error_set(error, ERROR_USAGE, "%s: the passphrase has a zero byte in it", what);
        return unusable(error);
    }
    return 0;
}

static int from_file(const char *file, char *buffer, struct error *error)
{
    CLEANUP_CLOSE int descriptor = open(file, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return error_errno(error, errno, "passphrase file %s", file);
    warn_of_readers(descriptor, file);
    ssize_t got = read_whole(descriptor, buffer);
    if (got < 0)
        return error_errno(error, errno, "passphrase file %s", file);
    size_t size = (size_t)got;
    if (size && size < BUFFER_SIZE && buffer[size - 1] == '\n')
        size -= size > 1 && buffer[size - 2] == '\r' ? 2 : 1;
    CLEANUP_FREE char *what = memory_format("passphrase file %s", file);
    if (check(buffer, size, what, error) < 0)
        return -1;
    buffer[size] = '\0';
    return 0;
}

static int from_terminal(bool repeat, char *buffer, struct error *error)
{
    if (terminal_ask(repeat ? "New passphrase: " : "Passphrase: ", false, buffer,
                     passphrase_limit + 1, error) < 0) {
        (void)error_prefix(error, "passphrase: ");
        return error_advise(error, "no-terminal",
                            "give --passphrase-file FILE or set VMSHADOW_PASSPHRASE_FILE");
    }
    if (check(buffer, strlen(buffer), "terminal", error) < 0 || !repeat)
        return error_is_set(error) ? -1 : 0;
    char again[passphrase_limit + 1] = "";
    int result = terminal_ask("The same again: ", false, again, sizeof again, error);
    if (result == 0 && strcmp(buffer, again) != 0)
        result = error_set(error, ERROR_USAGE, "passphrase: the two are not the same");
    memory_wipe(again, sizeof again);
    return result;
}

int passphrase_get(const char *file, bool repeat, char **ret_passphrase, struct error *error)
{
    __attribute__((cleanup(passphrase_freep))) char *buffer = memory_new(BUFFER_SIZE, 1);
    int result = file ? from_file(file, buffer, error) : from_terminal(repeat, buffer, error);
    if (result == 0)
        *ret_passphrase = TAKE_PTR(buffer);
    return result;
}
