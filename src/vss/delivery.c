/* Deliveries: reference counts, deep copies, time limits. */
#include "vss/dispatcher-private.h"

#include "base/clock.h"
#include "vss/components-private.h"

#include <string.h>

enum { minute = 60 };
static const int64_t default_limits[VSS_EVENT_COUNT_] = {
    [VSS_EVENT_IDENTIFY] = 2 * minute * CLOCK_SECOND,
    [VSS_EVENT_PREPARE_FOR_BACKUP] = 15 * minute * CLOCK_SECOND,
    [VSS_EVENT_PREPARE_FOR_SNAPSHOT] = 15 * minute * CLOCK_SECOND,
    [VSS_EVENT_FREEZE] = INT64_MAX / 2, /* the window bounds Freeze and Thaw */
    [VSS_EVENT_THAW] = INT64_MAX / 2,
    [VSS_EVENT_POST_SNAPSHOT] = 15 * minute * CLOCK_SECOND,
    [VSS_EVENT_BACKUP_COMPLETE] = 15 * minute * CLOCK_SECOND,
    [VSS_EVENT_BACKUP_SHUTDOWN] = 15 * minute * CLOCK_SECOND,
    [VSS_EVENT_ABORT] = 15 * minute * CLOCK_SECOND,
    [VSS_EVENT_PRE_RESTORE] = 60 * minute * CLOCK_SECOND,
    [VSS_EVENT_POST_RESTORE] = 60 * minute * CLOCK_SECOND,
};
static const int64_t default_window = minute * CLOCK_SECOND;

static int64_t or_default(int64_t value, int64_t otherwise)
{
    return value > 0 ? value : otherwise;
}

/* Freeze opens the window; Freeze and Thaw must end in it, whatever their own limits. */
static void set_limit(struct delivery *delivery)
{
    const struct writer_limits *limits = &delivery->writer->description.limits;
    enum vss_event event = delivery->event.event;
    int64_t now = clock_monotonic();
    struct enrolment *enrolment = delivery->enrolment;
    delivery->start = now;
    delivery->limit = or_default(limits->event[event], default_limits[event]);
    delivery->deadline = now + delivery->limit;
    delivery->overrun = VSS_E_WRITER_NOT_RESPONDING;
    if (event == VSS_EVENT_FREEZE)
        enrolment->window = now + or_default(limits->freeze_window, default_window);
    if ((event == VSS_EVENT_FREEZE || event == VSS_EVENT_THAW) &&
        enrolment->window <= delivery->deadline) {
        delivery->deadline = enrolment->window;
        delivery->overrun = VSS_E_WRITERERROR_TIMEOUT;
    }
    delivery->event.deadline = delivery->deadline;
}

/* The writer's part can be edited until PostSnapshot has ended, and in a restore. */
static bool may_write(enum vss_event event)
{
    switch (event) {
    case VSS_EVENT_PREPARE_FOR_BACKUP:
    case VSS_EVENT_PREPARE_FOR_SNAPSHOT:
    case VSS_EVENT_POST_SNAPSHOT:
    case VSS_EVENT_PRE_RESTORE:
    case VSS_EVENT_POST_RESTORE:
        return true;
    default:
        return false;
    }
}

static char **copy_volumes(const char *const *volumes)
{
    size_t count = 0;
    while (volumes && volumes[count])
        count++;
    char **copy = NEW_ARRAY(char *, count + 1);
    for (size_t i = 0; i < count; i++)
        copy[i] = memory_copy_string(volumes[i]);
    return copy;
}

struct delivery *delivery_new(struct dispatcher_writer *writer, struct enrolment *enrolment,
                              const struct writer_event *event)
{
    struct delivery *delivery = NEW(struct delivery);
    atomic_init(&delivery->references, 1);
    delivery->writer = writer;
    delivery->enrolment = enrolment ? enrolment_ref(enrolment) : NULL;
    delivery->event = *event;
    delivery->volumes = copy_volumes(event->volumes);
    delivery->event.volumes = (const char *const *)delivery->volumes;
    if (event->components) {
        component_set_copy(&delivery->components, event->components);
        delivery->components.read_only = !may_write(event->event);
        delivery->event.components = &delivery->components;
    }
    if (event->event == VSS_EVENT_IDENTIFY)
        delivery->metadata = metadata_new();
    set_limit(delivery);
    return delivery;
}

struct delivery *delivery_ref(struct delivery *delivery)
{
    atomic_fetch_add(&delivery->references, 1);
    return delivery;
}

void delivery_unref(struct delivery *delivery)
{
    if (!delivery || atomic_fetch_sub(&delivery->references, 1) != 1)
        return;
    for (char **volume = delivery->volumes; *volume; volume++)
        free(*volume);
    free(delivery->volumes);
    component_set_clear(&delivery->components);
    metadata_free(delivery->metadata);
    enrolment_unref(delivery->enrolment);
    free(delivery);
}

vss_code delivery_result(const struct delivery *delivery, struct error *error)
{
    if (delivery->code != VSS_S_OK && error && !error_is_set(error))
        *error = delivery->failure;
    return delivery->code;
}

struct component_set *delivery_components(struct delivery *delivery)
{
    return delivery->answered && delivery->event.components && !delivery->components.read_only
               ? &delivery->components
               : NULL;
}

struct metadata *delivery_take_metadata(struct delivery *delivery)
{
    return delivery->answered ? TAKE_PTR(delivery->metadata) : NULL;
}

bool writer_event_has_volume(const struct writer_event *event, const char *volume)
{
    for (const char *const *have = event->volumes; have && *have; have++) {
        size_t length = strlen(*have);
        if (strncmp(*have, volume, length) == 0 &&
            (volume[length] == '\0' || volume[length] == '/'))
            return true;
    }
    return false;
}
