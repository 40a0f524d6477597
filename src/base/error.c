/* A fixed buffer that keeps the first fault; see error.h. */
#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void fill(struct error *error, enum error_kind kind, const char *format, va_list arguments)
{
    error->kind = kind;
    error->number = 0;
    error->hint[0] = '\0';
    error->id[0] = '\0';
    (void)vsnprintf(error->message, sizeof error->message, format, arguments);
}

int error_set(struct error *error, enum error_kind kind, const char *format, ...)
{
    if (!error || error_is_set(error))
        return -1;
    va_list arguments;
    va_start(arguments, format);
    fill(error, kind, format, arguments);
    va_end(arguments);
    return -1;
}

static enum error_kind kind_of_errno(int number)
{
    switch (number) {
    case ENOSPC:
    case EDQUOT:
        return ERROR_SPACE;
    case ENOENT:
        return ERROR_NOT_FOUND;
    case EEXIST:
        return ERROR_EXISTS;
    case EACCES:
    case EPERM:
        return ERROR_DENIED;
    default:
        return ERROR_FAILED;
    }
}

int error_errno(struct error *error, int number, const char *format, ...)
{
    if (!error || error_is_set(error))
        return -1;
    va_list arguments;
    va_start(arguments, format);
    fill(error, kind_of_errno(number), format, arguments);
    va_end(arguments);
    error->number = number;

    char text[128];
    const char *reason = strerror_r(number, text, sizeof text);
    size_t used = strlen(error->message);
    (void)snprintf(error->message + used, sizeof error->message - used, ": %s", reason);
    return -1;
}

int error_prefix(struct error *error, const char *format, ...)
{
    if (!error_is_set(error))
        return -1;
    char prefix[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(prefix, sizeof prefix, format, arguments);
    va_end(arguments);
    if (length < 0)
        return -1;
    size_t size = (size_t)length < sizeof prefix ? (size_t)length : sizeof prefix - 1;
    size_t rest = strlen(error->message);
    if (rest > sizeof error->message - 1 - size)
        rest = sizeof error->message - 1 - size;
    memmove(error->message + size, error->message, rest);
    memcpy(error->message, prefix, size);
    error->message[size + rest] = '\0';
    return -1;
}

int error_advise(struct error *error, const char *id, const char *format, ...)
{
    if (!error_is_set(error))
        return -1;
    (void)snprintf(error->id, sizeof error->id, "%s", id);
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(error->hint, sizeof error->hint, format, arguments);
    va_end(arguments);
    return -1;
}

const char *error_id(const struct error *error)
{
    return error->id[0] ? error->id : error_kind_name(error->kind);
}

void error_move(struct error *to, struct error *from)
{
    if (to && !error_is_set(to) && error_is_set(from))
        *to = *from;
    error_clear(from);
}

void error_clear(struct error *error)
{
    if (error)
        *error = ERROR_INIT;
}

const char *error_kind_name(enum error_kind kind)
{
    static const char *const names[ERROR_KINDS_] = {
        [ERROR_NONE] = "none",
        [ERROR_FAILED] = "failed",
        [ERROR_USAGE] = "usage",
        [ERROR_NOT_FOUND] = "not-found",
        [ERROR_REFUSED] = "refused",
        [ERROR_AUTHENTICATION] = "authentication",
        [ERROR_DAMAGED] = "damaged",
        [ERROR_BUSY] = "busy",
        [ERROR_CONNECTION] = "connection",
        [ERROR_SPACE] = "space",
        [ERROR_TIMEOUT] = "timeout",
        [ERROR_INTERRUPTED] = "interrupted",
        [ERROR_EXISTS] = "exists",
        [ERROR_DENIED] = "denied",
    };
    return (unsigned)kind < ERROR_KINDS_ ? names[kind] : "failed";
}
