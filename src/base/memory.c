/* Allocators that end the process on exhaustion; memory.h says why. */
#include "base/memory.h"

#include <stdint.h>
#include <string.h>

static void exhausted(void)
{
    static const char text[] = "vmshadow: out of memory; the watchdog puts the VMs right\n";
    (void)!write(STDERR_FILENO, text, sizeof text - 1);
    abort();
}

void *memory_new(size_t count, size_t size)
{
    void *pointer = calloc(count ? count : 1, size ? size : 1);
    if (!pointer)
        exhausted();
    return pointer;
}

void *memory_resize(void *pointer, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        exhausted();
    void *resized = realloc(pointer, bytes ? bytes : 1);
    if (!resized)
        exhausted();
    return resized;
}

void *memory_try_new(size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        return NULL;
    return malloc(bytes ? bytes : 1);
}

void *memory_copy(const void *bytes, size_t size)
{
    void *copy = memory_new(1, size);
    if (size)
        memcpy(copy, bytes, size);
    return copy;
}

char *memory_copy_string(const char *text)
{
    return text ? memory_copy(text, strlen(text) + 1) : NULL;
}

char *memory_vformat(const char *format, va_list arguments)
{
    char *text = NULL;
    if (vasprintf(&text, format, arguments) < 0)
        exhausted();
    return text;
}

char *memory_format(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *text = memory_vformat(format, arguments);
    va_end(arguments);
    return text;
}

void memory_wipe(void *pointer, size_t size)
{
    explicit_bzero(pointer, size);
}

void memory_set_string(char **target, const char *text)
{
    char *copy = memory_copy_string(text);
    free(*target);
    *target = copy;
}
