#include "cli/exit-code.h"

/* Never renumbered: scripts depend on them. The man page and docs/json.md repeat the table, and a
 * test compares them. */
static const int codes[ERROR_KINDS_] = {
    [ERROR_NONE] = 0,      [ERROR_FAILED] = 1,   [ERROR_USAGE] = 2,
    [ERROR_NOT_FOUND] = 3, [ERROR_REFUSED] = 4,  [ERROR_AUTHENTICATION] = 5,
    [ERROR_DAMAGED] = 6,   [ERROR_BUSY] = 7,     [ERROR_CONNECTION] = 8,
    [ERROR_SPACE] = 9,     [ERROR_TIMEOUT] = 10, [ERROR_INTERRUPTED] = 11,
    [ERROR_EXISTS] = 12,   [ERROR_DENIED] = 13,
};
_Static_assert(ERROR_KINDS_ == 14, "a new kind needs an exit code, here and in vmshadow(1)");

int exit_code_of(enum error_kind kind)
{
    return (unsigned)kind < ERROR_KINDS_ ? codes[kind] : codes[ERROR_FAILED];
}
