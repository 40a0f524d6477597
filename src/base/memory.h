/* Memory: cleanup by scope, visible hand-over, and allocators that do not return on exhaustion.
 *
 * Running out of memory ends the process at once. That is a choice: the end of the requester by
 * kill -9 is the one failure that is undone by the watchdog and tested at every step, so
 * exhaustion takes that path instead of hundreds of paths of its own that never run. What a size
 * from outside (guest, repository, XML) decides is bounded first and allocated with
 * memory_try_new(), which can fail.
 */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CLEANUP(function) __attribute__((cleanup(function)))
#define CLEANUP_FREE CLEANUP(memory_freep)
#define CLEANUP_CLOSE CLEANUP(memory_closep)
#define CLEANUP_FILE CLEANUP(memory_fclosep)

/* Hand over ownership: the variable is empty afterwards and its cleanup does nothing. */
#define TAKE_PTR(pointer)                                                                          \
    ({                                                                                             \
        __typeof__(pointer) taken_ = (pointer);                                                    \
        (pointer) = NULL;                                                                          \
        taken_;                                                                                    \
    })
#define TAKE_FD(descriptor)                                                                        \
    ({                                                                                             \
        int taken_ = (descriptor);                                                                 \
        (descriptor) = -1;                                                                         \
        taken_;                                                                                    \
    })

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

/* Define `void type##p(struct type **)` for CLEANUP from a `type##_free(struct type *)`. */
#define DEFINE_CLEANUP(name)                                                                       \
    static inline void name##_freep(struct name **pointer)                                         \
    {                                                                                              \
        name##_free(*pointer);                                                                     \
    }

/* Zeroed memory for `count` objects; never NULL. */
void *memory_new(size_t count, size_t size) __attribute__((returns_nonnull, malloc));
/* Grow or shrink; new bytes are not zeroed; never NULL. */
void *memory_resize(void *pointer, size_t count, size_t size);
/* Like memory_new() without zeroing, but NULL when there is none: for large buffers. */
void *memory_try_new(size_t count, size_t size) __attribute__((malloc));
/* Copies of strings; NULL gives NULL. */
char *memory_copy_string(const char *text);
void *memory_copy(const void *bytes, size_t size);
/* A new formatted string; never NULL. */
char *memory_format(const char *format, ...) __attribute__((format(printf, 1, 2), returns_nonnull));
char *memory_vformat(const char *format, va_list arguments) __attribute__((returns_nonnull));
/* Overwrite with zeroes in a way that the compiler keeps: for secrets. */
void memory_wipe(void *pointer, size_t size);
/* Replace *target (freed) with a copy of text (may be NULL). */
void memory_set_string(char **target, const char *text);

#define NEW(type) ((type *)memory_new(1, sizeof(type)))
#define NEW_ARRAY(type, count) ((type *)memory_new((count), sizeof(type)))

/* Append to a growing array { type *items; size_t count; }: room is made by doubling. */
#define ARRAY_APPEND(items, count, value)                                                          \
    do {                                                                                           \
        if (((count) & ((count)-1)) == 0)                                                          \
            (items) = memory_resize((items), (count) ? (count)*2 : 1, sizeof *(items));            \
        (items)[(count)++] = (value);                                                              \
    } while (0)

static inline void memory_freep(void *pointer)
{
    free(*(void **)pointer);
}

static inline void memory_closep(int *descriptor)
{
    if (*descriptor >= 0)
        (void)close(*descriptor);
}

static inline void memory_fclosep(FILE **file)
{
    if (*file)
        (void)fclose(*file);
}

#endif
