/* The kit's log, its coordinator and the scripted requester. */
#include "vss_kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "vss_kit_private.h"

static void observe(void *context, const struct coordinator_record *record)
{
    struct kit *kit = context;
    pthread_mutex_lock(&kit->lock);
    kit->observer_overlap |= ++kit->observers > 1;
    if (kit->recorded < kit_log_size) {
        struct kit_entry *entry = &kit->records[kit->recorded++];
        (void)snprintf(entry->party, sizeof entry->party, "%s", record->party);
        (void)snprintf(entry->name, sizeof entry->name, "%s", record->name);
        entry->start = record->start;
        entry->end = record->end;
        entry->code = record->code;
        entry->session = record->session;
        entry->snapshot_set = record->snapshot_set;
    }
    pthread_mutex_unlock(&kit->lock);
    sched_yield(); /* let another observer in, if the coordinator allowed it */
    pthread_mutex_lock(&kit->lock);
    kit->observers--;
    pthread_mutex_unlock(&kit->lock);
}

void kit_open(struct kit *kit, const char *lock_path)
{
    *kit = (struct kit){.logged = 0};
    pthread_mutex_init(&kit->lock, NULL);
    kit->coordinator = coordinator_new(lock_path, observe, kit);
}

int kit_close(struct kit *kit, struct kit_writer *const *writers, size_t count)
{
    int result = coordinator_free(kit->coordinator);
    for (size_t i = 0; i < count; i++)
        kit_end_child(writers[i]);
    assert_false(kit->observer_overlap);
    if (result == 0)
        pthread_mutex_destroy(&kit->lock);
    return result;
}

size_t kit_begin(struct kit *kit, const char *party, const char *name, const struct id *session,
                 const struct id *set)
{
    pthread_mutex_lock(&kit->lock);
    size_t index = kit->logged < kit_log_size - 1 ? kit->logged++ : kit_log_size - 1;
    struct kit_entry *entry = &kit->log[index];
    (void)snprintf(entry->party, sizeof entry->party, "%s", party);
    (void)snprintf(entry->name, sizeof entry->name, "%s", name);
    entry->start = clock_monotonic();
    if (session)
        entry->session = *session;
    if (set)
        entry->snapshot_set = *set;
    pthread_mutex_unlock(&kit->lock);
    return index;
}

void kit_end(struct kit *kit, size_t index, vss_code code)
{
    pthread_mutex_lock(&kit->lock);
    kit->log[index].end = clock_monotonic();
    kit->log[index].code = code;
    pthread_mutex_unlock(&kit->lock);
}

const char *kit_story(struct kit *kit, const char *party)
{
    static char story[2048];
    size_t used = 0;
    story[0] = '\0';
    pthread_mutex_lock(&kit->lock);
    for (size_t i = 0; i < kit->logged && used < sizeof story; i++)
        if (strcmp(kit->log[i].party, party) == 0)
            used += (size_t)snprintf(story + used, sizeof story - used, "%s%s", used ? " " : "",
                                     kit->log[i].name);
    pthread_mutex_unlock(&kit->lock);
    return story;
}

static struct kit_entry find(struct kit *kit, const struct kit_entry *entries, const size_t *count,
                             const char *party, const char *name, unsigned nth)
{
    struct kit_entry found = {.start = 0};
    pthread_mutex_lock(&kit->lock);
    for (size_t i = 0; i < *count; i++)
        if (strcmp(entries[i].party, party) == 0 && strcmp(entries[i].name, name) == 0 &&
            nth-- == 0)
            found = entries[i];
    pthread_mutex_unlock(&kit->lock);
    return found;
}

struct kit_entry kit_entry(struct kit *kit, const char *party, const char *name, unsigned nth)
{
    return find(kit, kit->log, &kit->logged, party, name, nth);
}

struct kit_entry kit_record(struct kit *kit, const char *party, const char *name, unsigned nth)
{
    return find(kit, kit->records, &kit->recorded, party, name, nth);
}

bool kit_wait_for(struct kit *kit, const char *party, const char *name, unsigned times)
{
    int64_t limit = clock_monotonic() + KIT_MS(5000);
    while (kit_entry(kit, party, name, times - 1).end == 0) {
        if (clock_monotonic() > limit)
            return false;
        clock_sleep(KIT_MS(1));
    }
    return true;
}

size_t kit_copies(struct kit_provider *provider)
{
    pthread_mutex_lock(&provider->kit->lock);
    size_t count = provider->copy_count;
    pthread_mutex_unlock(&provider->kit->lock);
    return count;
}

bool kit_frozen(struct kit_writer *writer)
{
    pthread_mutex_lock(&writer->kit->lock);
    bool frozen = writer->frozen;
    pthread_mutex_unlock(&writer->kit->lock);
    return frozen;
}

/* ---- The scripted requester ---------------------------------------------------------------- */

struct session *kit_gathered(struct kit *kit, bool select_components)
{
    struct session *session = session_new(kit->coordinator);
    assert_int_equal(session_initialize_for_backup(session, NULL), VSS_S_OK);
    assert_int_equal(
        session_set_backup_state(session, select_components, false, VSS_BT_FULL, false, NULL),
        VSS_S_OK);
    assert_int_equal(session_gather_writer_metadata(session, NULL), VSS_S_OK);
    return session;
}

void kit_select(struct session *session, const struct kit_writer *writer)
{
    const char *name = writer->component ? writer->component : writer->name;
    assert_int_equal(
        session_add_component(session, &writer->instance_id, VSS_CT_DATABASE, "", name, NULL),
        VSS_S_OK);
}

void kit_start_set(struct session *session, const char *const *volumes, size_t count)
{
    struct id set = {.text = ""};
    assert_int_equal(session_start_snapshot_set(session, &set, NULL), VSS_S_OK);
    assert_false(id_is_empty(&set));
    for (size_t i = 0; i < count; i++)
        assert_int_equal(session_add_to_snapshot_set(session, volumes[i], NULL, NULL, NULL),
                         VSS_S_OK);
}

struct session *kit_prepared(struct kit *kit, struct kit_writer *const *writers,
                             size_t writer_count, const char *const *volumes, size_t volume_count)
{
    struct session *session = kit_gathered(kit, true);
    for (size_t i = 0; i < writer_count; i++)
        kit_select(session, writers[i]);
    kit_start_set(session, volumes, volume_count);
    assert_int_equal(session_prepare_for_backup(session, NULL), VSS_S_OK);
    return session;
}

struct session_writer_status kit_status(struct session *session, const struct kit_writer *writer)
{
    assert_int_equal(session_gather_writer_status(session, NULL), VSS_S_OK);
    for (size_t i = 0; i < session_writer_status_count(session); i++)
        if (id_equal(&session_writer_status(session, i)->instance_id, &writer->instance_id))
            return *session_writer_status(session, i);
    return (struct session_writer_status){.state = VSS_WS_COUNT};
}

struct coordinator_writer kit_shown(struct kit *kit, const struct kit_writer *writer)
{
    struct coordinator_writer writers[16];
    size_t count = coordinator_writers(kit->coordinator, writers, 16);
    for (size_t i = 0; i < count && i < 16; i++)
        if (id_equal(&writers[i].instance_id, &writer->instance_id))
            return writers[i];
    return (struct coordinator_writer){.state = VSS_WS_COUNT};
}
