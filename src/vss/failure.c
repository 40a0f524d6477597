/* One table from VSS codes to kinds of error. */
#include "vss/failure.h"

#include <stdio.h>

static enum error_kind kind_of(vss_code code)
{
    switch (code) {
    case VSS_E_OBJECT_NOT_FOUND:
    case VSS_E_PROVIDER_NOT_REGISTERED:
        return ERROR_NOT_FOUND;
    case VSS_E_OBJECT_ALREADY_EXISTS:
    case VSS_E_PROVIDER_ALREADY_REGISTERED:
        return ERROR_EXISTS;
    case VSS_E_SNAPSHOT_SET_IN_PROGRESS:
        return ERROR_BUSY;
    case VSS_E_VOLUME_NOT_SUPPORTED:
    case VSS_E_VOLUME_NOT_SUPPORTED_BY_PROVIDER:
    case VSS_E_UNSUPPORTED_CONTEXT:
    case VSS_E_NOT_SUPPORTED:
    case VSS_E_MAXIMUM_NUMBER_OF_VOLUMES_REACHED:
        return ERROR_REFUSED;
    case VSS_E_CORRUPT_XML_DOCUMENT:
    case VSS_E_INVALID_XML_DOCUMENT:
        return ERROR_DAMAGED;
    case VSS_E_INSUFFICIENT_STORAGE:
        return ERROR_SPACE;
    case VSS_E_WRITER_NOT_RESPONDING:
    case VSS_E_WRITERERROR_TIMEOUT:
    case VSS_E_HOLD_WRITES_TIMEOUT:
    case VSS_E_FLUSH_WRITES_TIMEOUT:
        return ERROR_TIMEOUT;
    default:
        return ERROR_FAILED;
    }
}

/* Callers know that the error is empty. */
__attribute__((format(printf, 3, 0))) static void fill(struct error *error, vss_code code,
                                                       const char *format, va_list arguments)
{
    char message[sizeof error->message];
    (void)vsnprintf(message, sizeof message, format, arguments);
    (void)error_set(error, kind_of(code), "%s", message);
    error->number = (int)code;
}

vss_code failure_set(struct error *error, vss_code code, const char *format, ...)
{
    if (error && !error_is_set(error)) {
        va_list arguments;
        va_start(arguments, format);
        fill(error, code, format, arguments);
        va_end(arguments);
    }
    return code;
}

void failure_complete(struct error *error, vss_code code, const char *format, ...)
{
    if (!error)
        return;
    if (!error_is_set(error)) {
        va_list arguments;
        va_start(arguments, format);
        fill(error, code, format, arguments);
        va_end(arguments);
    }
    error->number = (int)code;
}
