/* requester: which backups of a job stay, by the rules and by the bounds that no rule passes. */
#include "base/clock.h"
#include "base/memory.h"
#include "requester/requester.h"
#include "requester/retention.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* ---- The rules ----------------------------------------------------------------------------- */

enum { TIMES = 64 };

struct sample {
    struct retention_backup backups[TIMES];
    size_t count;
};

static void add(struct sample *sample, const char *time)
{
    int64_t wall;
    assert_int_equal(clock_parse(time, &wall), 0);
    sample->backups[sample->count++].time = wall / CLOCK_SECOND;
}

/* One letter for each backup: 'k' = it stays. */
static const char *choose(struct sample *sample, struct retention_policy policy)
{
    static char letters[TIMES + 1];
    retention_choose(&policy, sample->backups, sample->count);
    for (size_t i = 0; i < sample->count; i++)
        letters[i] = sample->backups[i].keep ? 'k' : '-';
    letters[sample->count] = '\0';
    return letters;
}

static void the_last_stay(void **state)
{
    (void)state;
    struct sample sample = {.count = 0};
    assert_string_equal(choose(&sample, (struct retention_policy){.last = 2}), "");
    add(&sample, "2026-11-03T02:00:00Z");
    add(&sample, "2026-11-01T02:00:00Z");
    add(&sample, "2026-11-04T02:00:00Z");
    add(&sample, "2026-11-02T02:00:00Z");
    assert_string_equal(choose(&sample, (struct retention_policy){.last = 2}), "k-k-");
    assert_string_equal(choose(&sample, (struct retention_policy){.last = 9}), "kkkk");
    assert_string_equal(choose(&sample, (struct retention_policy){.last = 0}), "kkkk");
}

/* Two of the same second are two. */
static void each_of_the_last_counts(void **state)
{
    (void)state;
    struct sample sample = {.count = 0};
    for (int i = 0; i < 3; i++)
        add(&sample, "2026-11-03T02:00:00Z");
    size_t kept = 0;
    for (const char *c = choose(&sample, (struct retention_policy){.last = 2}); *c; c++)
        kept += *c == 'k';
    assert_int_equal(kept, 2);
}

static void the_newest_of_a_period_stays(void **state)
{
    (void)state;
    struct sample sample = {.count = 0};
    add(&sample, "2024-06-01T02:00:00Z");
    add(&sample, "2025-12-31T23:59:59Z");
    add(&sample, "2026-01-01T00:00:00Z");
    add(&sample, "2026-10-31T02:00:00Z");
    add(&sample, "2026-11-01T02:00:00Z"); /* a Sunday */
    add(&sample, "2026-11-02T02:00:00Z"); /* a Monday: the next week */
    add(&sample, "2026-11-02T02:40:00Z");
    add(&sample, "2026-11-02T03:00:00Z");
    assert_string_equal(choose(&sample, (struct retention_policy){.hourly = 2}), "------kk");
    assert_string_equal(choose(&sample, (struct retention_policy){.daily = 3}), "---kk--k");
    assert_string_equal(choose(&sample, (struct retention_policy){.weekly = 2}), "----k--k");
    assert_string_equal(choose(&sample, (struct retention_policy){.monthly = 3}), "--kk---k");
    assert_string_equal(choose(&sample, (struct retention_policy){.yearly = 2}), "-k-----k");
    assert_string_equal(choose(&sample, (struct retention_policy){.yearly = 9}), "kk-----k");
    assert_string_equal(choose(&sample, (struct retention_policy){.last = 2, .yearly = 3}),
                        "kk----kk");
}

static void a_clock_that_jumps_takes_nothing_away(void **state)
{
    (void)state;
    struct sample sample = {.count = 0};
    add(&sample, "2026-11-01T02:00:00Z");
    add(&sample, "2026-11-02T02:00:00Z");
    add(&sample, "2096-11-03T02:00:00Z");
    assert_string_equal(choose(&sample, (struct retention_policy){.daily = 3}), "kkk");
    sample.count = 0;
    add(&sample, "1901-12-13T02:00:00Z");
    add(&sample, "1969-12-31T23:00:00Z");
    add(&sample, "1970-01-01T01:00:00Z");
    assert_string_equal(choose(&sample, (struct retention_policy){.daily = 2}), "-kk");
    assert_string_equal(choose(&sample, (struct retention_policy){.weekly = 2}), "k-k");
}

static void the_newest_always_stays(void **state)
{
    (void)state;
    struct sample sample = {.count = 0};
    add(&sample, "2026-11-01T02:00:00Z");
    assert_string_equal(choose(&sample, (struct retention_policy){.yearly = 1}), "k");
}

/* ---- A repository -------------------------------------------------------------------------- */

struct fixture {
    struct backend *backend; /* the repository's */
    struct repository *repository;
};

static int set_up(void **state)
{
    struct error error = ERROR_INIT;
    struct fixture *fixture = NEW(struct fixture);
    struct repository_parameters parameters = {.chunk_size = 64 << 10};
    fixture->backend = backend_memory_new();
    assert_int_equal(repository_init(fixture->backend, &parameters, &error), 0);
    assert_int_equal(repository_open(fixture->backend, NULL, &fixture->repository, &error), 0);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    repository_free(fixture->repository);
    free(fixture);
    return 0;
}

static void put_disk(struct repository_writer *writer, json_t *disk)
{
    struct error error = ERROR_INIT;
    struct disk_writer *target;
    struct object_id root;
    uint64_t stored;
    char text[2 * REPOSITORY_ID_SIZE + 1];
    assert_int_equal(disk_writer_new(writer, 64 << 10, &target, &error), 0);
    assert_int_equal(disk_writer_finish(target, &root, &stored, &error), 0);
    object_id_format(&root, text);
    json_set_string(disk, "root", text);
    json_set_integer(disk, "size", 64 << 10);
}

/* `vms` = "a:vda,vdb b:vda": what is in it. Its id, to be freed. */
static char *back_up(struct fixture *fixture, const char *time, const char *job, const char *vms,
                     bool separate)
{
    struct error error = ERROR_INIT;
    struct repository_writer *writer;
    CLEANUP_JSON json_t *manifest = json_object();
    CLEANUP_FREE char *words = memory_copy_string(vms);
    char *rest = NULL;
    json_t *list = json_array();
    assert_int_equal(repository_writer_new(fixture->repository, &writer, &error), 0);
    for (char *word = strtok_r(words, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        json_t *vm = json_object(), *disks = json_array();
        char *more = NULL;
        const char *name = strtok_r(word, ":", &more);
        json_set_string(vm, "name", name);
        json_set_string(vm, "uuid", name);
        for (const char *target; (target = strtok_r(NULL, ",", &more));) {
            json_t *disk = json_object();
            json_set_string(disk, "target", target);
            put_disk(writer, disk);
            json_append(disks, disk);
        }
        json_set(vm, "disks", disks);
        json_append(list, vm);
    }
    json_set_string(manifest, "time", time);
    json_set_string(manifest, "host", "here");
    json_set_string(manifest, "job", job);
    json_set_boolean(manifest, "separate", separate);
    json_set(manifest, "vms", list);
    struct id id = id_new();
    assert_int_equal(repository_writer_commit(writer, &id, manifest, &error), 0);
    return memory_copy_string(id.text);
}
#define BACK_UP(time, vms)                                                                         \
    CLEANUP_FREE char *id_##time = back_up(fixture, days[time], "j", vms, false)

static const char *const days[] = {"2026-01-01T02:00:00Z", "2026-01-02T02:00:00Z",
                                   "2026-01-03T02:00:00Z", "2026-01-04T02:00:00Z",
                                   "2026-01-05T02:00:00Z"};

static json_t *retain_by(struct fixture *fixture, struct retention_policy policy,
                         const char *new_backup)
{
    struct error error = ERROR_INIT;
    struct requester_host host = {.uri = NULL};
    struct requester_retention retention = {
        .job = "j",
        .host = "here",
        .policy = policy,
        .new_backups = &new_backup,
        .new_count = new_backup ? 1 : 0,
    };
    json_t *result = NULL;
    assert_int_equal(requester_retain(&host, fixture->repository, &retention, &result, &error), 0);
    return result;
}

static json_t *retain(struct fixture *fixture, unsigned last, const char *new_backup)
{
    return retain_by(fixture, (struct retention_policy){.last = last}, new_backup);
}

static bool is_listed(struct fixture *fixture, const char *id)
{
    struct error error = ERROR_INIT;
    CLEANUP_JSON json_t *manifest = repository_load(fixture->repository, id, &error);
    return manifest != NULL;
}

static void older_backups_go(void **state)
{
    struct fixture *fixture = *state;
    BACK_UP(0, "a:vda");
    BACK_UP(1, "a:vda");
    BACK_UP(2, "a:vda");
    CLEANUP_FREE char *other = back_up(fixture, days[0], "other", "a:vda", false);
    CLEANUP_FREE char *none = back_up(fixture, days[0], NULL, "a:vda", false);
    CLEANUP_JSON json_t *result = retain(fixture, 2, id_2);
    assert_int_equal(json_array_size(json_object_get(result, "removed")), 1);
    assert_string_equal(
        json_string_or(json_array_get(json_object_get(result, "removed"), 0), "id", ""), id_0);
    assert_int_equal(json_integer_or(result, "kept", 0), 2);
    assert_null(json_string_or(result, "stopped", NULL));
    assert_false(is_listed(fixture, id_0));
    assert_true(is_listed(fixture, id_1) && is_listed(fixture, other) && is_listed(fixture, none));
}

static void the_newest_of_a_vm_and_of_a_disk_stays(void **state)
{
    struct fixture *fixture = *state;
    BACK_UP(0, "a:vda,vdb b:vda");
    BACK_UP(1, "a:vda,vdb b:vda"); /* the newest of b */
    BACK_UP(2, "a:vda,vdb");       /* the newest of a's vdb */
    BACK_UP(3, "a:vda");
    BACK_UP(4, "a:vda");
    CLEANUP_JSON json_t *result = retain(fixture, 1, id_4);
    assert_int_equal(json_array_size(json_object_get(result, "removed")), 2);
    assert_false(is_listed(fixture, id_0));
    assert_true(is_listed(fixture, id_1));
    assert_true(is_listed(fixture, id_2));
    assert_false(is_listed(fixture, id_3));
    assert_true(is_listed(fixture, id_4));
}

/* Each noon a run without b and without a disk of a: it is the newest of its day, but not of what
 * it does not hold. */
static void each_vm_and_disk_is_counted_by_itself(void **state)
{
    struct fixture *fixture = *state;
    const char *const nights[] = {"a:vda b:vda", "a:vda b:vda", "a:vda,vdb", "a:vda,vdb"};
    char *night[4], *noon[4];
    for (int day = 0; day < 4; day++) {
        CLEANUP_FREE char *time = memory_format("%.11s12:00:00Z", days[day]);
        night[day] = back_up(fixture, days[day], "j", nights[day], false);
        noon[day] = back_up(fixture, time, "j", "a:vda", false);
    }
    struct retention_policy daily = {.daily = 2};
    CLEANUP_JSON json_t *result = retain_by(fixture, daily, noon[3]);
    assert_int_equal(json_integer_or(result, "kept", 0), 6);
    for (int day = 0; day < 4; day++) {
        assert_true(is_listed(fixture, night[day]));
        assert_int_equal(is_listed(fixture, noon[day]), day > 1);
        free(night[day]);
        free(noon[day]);
    }
}

static void hosts_of_one_name_do_not_prune_each_other(void **state)
{
    struct fixture *fixture = *state;
    BACK_UP(0, "a:vda");
    BACK_UP(1, "a:vda");
    BACK_UP(2, "b:vda");
    BACK_UP(3, "b:vda");
    BACK_UP(4, "b:vda");
    CLEANUP_JSON json_t *result = retain(fixture, 2, id_4);
    assert_true(is_listed(fixture, id_0) && is_listed(fixture, id_1));
    assert_false(is_listed(fixture, id_2));
    assert_true(is_listed(fixture, id_3) && is_listed(fixture, id_4));
}

static void separate_sets_are_a_series_each(void **state)
{
    struct fixture *fixture = *state;
    char *ids[4][2];
    for (int day = 0; day < 4; day++) {
        ids[day][0] = back_up(fixture, days[day], "j", "a:vda", true);
        ids[day][1] = back_up(fixture, days[day], "j", "b:vda", true);
    }
    CLEANUP_JSON json_t *result = retain(fixture, 3, ids[3][1]);
    assert_int_equal(json_array_size(json_object_get(result, "removed")), 2);
    for (int day = 0; day < 4; day++)
        for (int vm = 0; vm < 2; vm++) {
            assert_int_equal(is_listed(fixture, ids[day][vm]), day > 0);
            free(ids[day][vm]);
        }
}

static void a_backup_of_the_future_stops_it(void **state)
{
    struct fixture *fixture = *state;
    BACK_UP(0, "a:vda");
    BACK_UP(1, "a:vda");
    CLEANUP_FREE char *future = back_up(fixture, "2126-01-01T00:00:00Z", "x", "b:vda", false);
    CLEANUP_JSON json_t *result = retain(fixture, 1, id_1);
    assert_int_equal(json_array_size(json_object_get(result, "removed")), 0);
    assert_non_null(strstr(json_string_or(result, "stopped", ""), "in the future"));
    assert_true(is_listed(fixture, id_0));
}

/* The new backup is dated before all others: the clock went back. */
static void what_was_just_made_stays(void **state)
{
    struct fixture *fixture = *state;
    BACK_UP(2, "a:vda");
    BACK_UP(3, "a:vda");
    BACK_UP(0, "a:vda");
    CLEANUP_JSON json_t *result = retain(fixture, 1, id_0);
    assert_true(is_listed(fixture, id_0));
    assert_true(is_listed(fixture, id_3));
    assert_false(is_listed(fixture, id_2));
}

static int spoil(void *context, const char *name, struct error *error)
{
    struct backend *backend = context;
    uint64_t size;
    assert_int_equal(backend->size(backend, name, &size, error), 0);
    CLEANUP_FREE uint8_t *data = memory_new(size, 1);
    assert_int_equal(backend->get(backend, name, 0, data, size, error), 0);
    for (uint64_t i = 64; i + 32 < size; i++)
        data[i] ^= 0x55;
    struct iovec piece = {data, size};
    assert_int_equal(backend->remove(backend, name, error), 0);
    assert_int_equal(backend->put(backend, name, &piece, 1, error), 0);
    return 1; /* the list has changed: no further */
}

static void a_damaged_backup_stops_it(void **state)
{
    struct fixture *fixture = *state;
    struct error error = ERROR_INIT;
    BACK_UP(0, "a:vda");
    BACK_UP(1, "a:vda");
    assert_int_equal(
        fixture->backend->list(fixture->backend, "backups/", spoil, fixture->backend, &error), 1);
    CLEANUP_JSON json_t *result = retain(fixture, 1, NULL);
    assert_int_equal(json_array_size(json_object_get(result, "removed")), 0);
    assert_non_null(strstr(json_string_or(result, "stopped", ""), "cannot be read"));
}

/* It would stop retention, and `latest`, for ever. */
static void an_unreadable_backup_can_be_forgotten(void **state)
{
    struct fixture *fixture = *state;
    struct error error = ERROR_INIT;
    BACK_UP(0, "a:vda");
    assert_int_equal(
        fixture->backend->list(fixture->backend, "backups/", spoil, fixture->backend, &error), 1);
    BACK_UP(1, "a:vda");
    BACK_UP(2, "a:vda");
    CLEANUP_JSON json_t *result = NULL;
    assert_int_equal(requester_forget(fixture->repository, id_0, false, &result, &error), -1);
    assert_int_equal(error.kind, ERROR_DAMAGED);
    assert_string_equal(error_id(&error), "backup-unreadable");
    error_clear(&error);
    CLEANUP_FREE char *beginning = memory_format("%.8s", id_0);
    assert_int_equal(requester_forget(fixture->repository, beginning, true, &result, &error), -1);
    assert_int_equal(error.kind, ERROR_DAMAGED);
    error_clear(&error);
    assert_int_equal(requester_forget(fixture->repository, "latest", true, &result, &error), -1);
    assert_string_equal(error_id(&error), "latest-unknown");
    error_clear(&error);
    assert_int_equal(requester_forget(fixture->repository, id_0, true, &result, &error), 0);
    assert_string_equal(json_string_or(result, "backup", ""), id_0);
    assert_null(json_string_or(result, "time", NULL));
    assert_true(is_listed(fixture, "latest"));
    CLEANUP_JSON json_t *retained = retain(fixture, 1, id_2);
    assert_null(json_string_or(retained, "stopped", NULL));
    assert_false(is_listed(fixture, id_1));
}

static int spoil_all_packs(void *context, const char *name, struct error *error)
{
    char **names = context;
    (void)error;
    for (size_t i = 0; i < 8; i++)
        if (!names[i]) {
            names[i] = memory_copy_string(name);
            return 0;
        }
    return 0;
}

static void what_stays_is_read_back_first(void **state)
{
    struct fixture *fixture = *state;
    struct error error = ERROR_INIT;
    char *names[8] = {NULL};
    BACK_UP(0, "a:vda");
    BACK_UP(1, "a:vda");
    assert_int_equal(repository_prove(fixture->repository, id_1, &error), 0);
    assert_int_equal(
        fixture->backend->list(fixture->backend, "packs/", spoil_all_packs, names, &error), 0);
    for (size_t i = 0; i < 8 && names[i]; i++) {
        assert_int_equal(spoil(fixture->backend, names[i], &error), 1);
        free(names[i]);
    }
    CLEANUP_JSON json_t *result = retain(fixture, 1, id_1);
    assert_int_equal(json_array_size(json_object_get(result, "removed")), 0);
    assert_non_null(strstr(json_string_or(result, "stopped", ""), "cannot be read back"));
    assert_true(is_listed(fixture, id_0));
}

static void forgetting_wants_a_whole_id(void **state)
{
    struct fixture *fixture = *state;
    struct error error = ERROR_INIT;
    BACK_UP(0, "a:vda");
    assert_int_equal(repository_forget(fixture->repository, "latest", &error), -1);
    assert_int_equal(error.kind, ERROR_USAGE);
    error_clear(&error);
    assert_int_equal(repository_forget(fixture->repository, id_0, &error), 0);
    assert_false(is_listed(fixture, id_0));
}

static void the_newest_is_not_forgotten_by_accident(void **state)
{
    struct fixture *fixture = *state;
    struct error error = ERROR_INIT;
    BACK_UP(0, "a:vda,vdb b:vda");
    BACK_UP(1, "a:vda b:vda");
    CLEANUP_JSON json_t *result = NULL;
    assert_int_equal(requester_forget(fixture->repository, id_1, false, &result, &error), -1);
    assert_int_equal(error.kind, ERROR_REFUSED);
    error_clear(&error);
    assert_int_equal(requester_forget(fixture->repository, id_0, false, &result, &error), -1);
    assert_non_null(strstr(error.message, "disk vdb"));
    error_clear(&error);
    assert_true(is_listed(fixture, id_0) && is_listed(fixture, id_1));
    BACK_UP(2, "a:vda,vdb b:vda");
    assert_int_equal(requester_forget(fixture->repository, id_0, false, &result, &error), 0);
    assert_false(is_listed(fixture, id_0));
    assert_string_equal(json_string_or(result, "backup", ""), id_0);
    CLEANUP_JSON json_t *other = NULL;
    assert_int_equal(requester_forget(fixture->repository, "latest", true, &other, &error), 0);
    assert_false(is_listed(fixture, id_2));
}

#define ON(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_stay),
        cmocka_unit_test(each_of_the_last_counts),
        cmocka_unit_test(the_newest_of_a_period_stays),
        cmocka_unit_test(a_clock_that_jumps_takes_nothing_away),
        cmocka_unit_test(the_newest_always_stays),
        ON(older_backups_go),
        ON(the_newest_of_a_vm_and_of_a_disk_stays),
        ON(each_vm_and_disk_is_counted_by_itself),
        ON(hosts_of_one_name_do_not_prune_each_other),
        ON(separate_sets_are_a_series_each),
        ON(a_backup_of_the_future_stops_it),
        ON(what_was_just_made_stays),
        ON(a_damaged_backup_stops_it),
        ON(an_unreadable_backup_can_be_forgotten),
        ON(what_stays_is_read_back_first),
        ON(forgetting_wants_a_whole_id),
        ON(the_newest_is_not_forgotten_by_accident),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
