/* Errors: what happened to which VM, disk and step, and what to do next.
 *
 * Every function that can fail takes `struct error *error` as its last argument, returns 0 on
 * success and -1 on failure, and fills the error exactly once, where the fault is noticed. Callers
 * on the way up may put a prefix before the message ("VM web1, disk vda: ") and pass it on; they
 * never print it. The program prints it once, at the top. A positive return value is an outcome
 * that the header of the function lists and that the direct caller handles.
 *
 * The structure is a plain buffer owned by the caller: filling it needs no memory and cannot fail,
 * so it works while a guest is frozen. A NULL error is allowed where the caller does not want to
 * know (cleaning up after an earlier failure).
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

/* What kind of failure it is. The program's exit code follows from it (see vmshadow(1)). */
enum error_kind {
    ERROR_NONE = 0,
    ERROR_FAILED,         /* something did not work: the usual kind */
    ERROR_USAGE,          /* wrong words on the command line, wrong value */
    ERROR_NOT_FOUND,      /* no such VM, backup, file, repository */
    ERROR_REFUSED,        /* planning says no: nothing was touched */
    ERROR_AUTHENTICATION, /* wrong passphrase or key */
    ERROR_DAMAGED,        /* stored data is damaged or was tampered with */
    ERROR_BUSY,           /* another run holds this VM, set or repository */
    ERROR_CONNECTION,     /* no libvirt, no agent, no server */
    ERROR_SPACE,          /* no room */
    ERROR_TIMEOUT,        /* a time limit was exceeded */
    ERROR_INTERRUPTED,    /* the user or a signal ended it */
    ERROR_EXISTS,         /* the name is taken */
    ERROR_DENIED,         /* this user may not: a right is missing */
    ERROR_KINDS_
};

struct error {
    enum error_kind kind;
    int number;         /* errno, VSS_E_* code or libvirt code where there is one, else 0 */
    char message[1024]; /* one phrase, no newline, no full stop */
    char hint[512];     /* what to do next; may be empty */
    char id[48];        /* heading of docs/troubleshooting.md; empty: that of its kind */
};

#define ERROR_INIT ((struct error){.kind = ERROR_NONE})

/* Fill the error; returns -1, so that `return error_set(...)` reads well. An error that is set
 * already is kept (the first one tells the cause). */
int error_set(struct error *error, enum error_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same with ": strerror(number)" put after the message. ENOSPC and EDQUOT become ERROR_SPACE,
 * ENOENT becomes ERROR_NOT_FOUND, everything else ERROR_FAILED. */
int error_errno(struct error *error, int number, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Put text before the message. Returns -1. No effect on an error that is not set. */
int error_prefix(struct error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Say what to do next, and give the failure its id: a heading of docs/troubleshooting.md, stable
 * for scripts, in small letters and hyphens. Give it as a literal: tests/static/check-messages
 * compares the two. Both replace earlier ones. Returns -1. No effect on an error that is not set.
 */
int error_advise(struct error *error, const char *id, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The id of the failure, or the name of its kind where it has none. */
const char *error_id(const struct error *error);

/* Move `from` to `to`, unless `to` is set already; `from` is empty afterwards. */
void error_move(struct error *to, struct error *from);

void error_clear(struct error *error);

static inline bool error_is_set(const struct error *error)
{
    return error && error->kind != ERROR_NONE;
}

/* A stable word for scripts and JSON: "not-found", "refused", ... */
const char *error_kind_name(enum error_kind kind);

#endif
