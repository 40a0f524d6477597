#include "fake-requester.h"

#include "base/clock.h"
#include "base/memory.h"

#include <errno.h>
#include <string.h>

struct fake_requester fake_requester;

static void tell(const struct requester_observer *observer)
{
    struct coordinator_record record = {
        .kind = "event",
        .name = "PrepareForSnapshot",
        .party = "Microsoft Hyper-V VSS Writer",
        .party_id = {"00000000-0000-4000-8000-000000000001"},
        .start = 5 * CLOCK_SECOND,
        .end = 5 * CLOCK_SECOND + 250 * CLOCK_MILLISECOND,
        .message = "",
    };
    observer->record(observer->context, &record, NULL, NULL);
    record.kind = "copy";
    record.code = VSS_E_WRITERERROR_RETRYABLE;
    record.message = "no luck";
    observer->record(observer->context, &record, "web1", "vda");
    observer->progress(observer->context, "web1", "vda", 0, 1 << 20, 0);
    observer->notice(observer->context, "VM web1: network \033br9 is not there");
    observer->progress(observer->context, "web1", "vda", 1 << 20, 1 << 20, 4096);
}

static int answer(const struct requester_host *host, json_t *asked, json_t **ret_result,
                  struct error *error)
{
    CLEANUP_JSON json_t *whole = json_object();
    json_set_string(asked, "uri", host ? host->uri : NULL);
    json_set(whole, "asked", asked);
    if (host && fake_requester.tells)
        tell(&host->observer);
    for (int i = 0; host && fake_requester.waits && !*host->interrupted && i < 1000; i++)
        clock_sleep(10 * CLOCK_MILLISECOND);
    if (host && *host->interrupted)
        return error_set(error, ERROR_INTERRUPTED, "interrupted by a signal");
    const char *text = fake_requester.answer;
    if (!error_is_set(&fake_requester.error) || text)
        *ret_result =
            text ? json_parse(text, strlen(text), "the test's answer", error) : TAKE_PTR(whole);
    if (!error_is_set(&fake_requester.error))
        return 0;
    *error = fake_requester.error;
    return -1;
}

static json_t *name_array(const char *const *names, size_t count)
{
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++)
        json_append(array, json_string(names[i]));
    return array;
}

static json_t *selection_object(const struct requester_selection *selection)
{
    json_t *object = json_object(), *locations = json_object();
    json_set(object, "vms", name_array(selection->vms, selection->count));
    json_set_boolean(object, "all", selection->all);
    for (size_t i = 0; i < selection->location_count; i++)
        json_set_string(locations, selection->locations[i].vm, selection->locations[i].directory);
    json_set(object, "locations", locations);
    return object;
}

int requester_writers(const struct requester_host *host, json_t **ret_result, struct error *error)
{
    return answer(host, json_object(), ret_result, error);
}

int requester_select(const struct requester_host *host, const struct requester_selection *selection,
                     json_t **ret_result, struct error *error)
{
    (void)host;
    if (fake_requester.vms) {
        *ret_result = json_parse(fake_requester.vms, strlen(fake_requester.vms), "VMs", error);
        return *ret_result ? 0 : -1;
    }
    json_t *vms = json_array();
    for (size_t i = 0; i < selection->count; i++) {
        json_t *vm = json_object();
        json_set_string(vm, "name", selection->vms[i]);
        json_set_string(vm, "uuid", selection->vms[i]);
        json_append(vms, vm);
    }
    json_t *result = json_object();
    json_set(result, "vms", vms);
    json_set(result, "missing", json_array());
    *ret_result = result;
    return 0;
}

int requester_inspect(const struct requester_host *host,
                      const struct requester_backup_options *options, json_t **ret_result,
                      struct error *error)
{
    json_t *asked = selection_object(&options->selection);
    json_set_string(asked, "scratch", options->scratch_directory);
    json_set_integer(asked, "reserve", (int64_t)options->scratch_reserve);
    json_set_string(asked, "images", options->image_directory);
    json_set_integer(asked, "max_pause", options->max_pause);
    json_set_boolean(asked, "no_pause", options->refuse_saved_state);
    return answer(host, asked, ret_result, error);
}

int requester_backup(const struct requester_host *host, struct repository *repository,
                     const struct requester_backup_options *options, json_t **ret_result,
                     struct error *error)
{
    if (fake_requester.busy-- > 0) {
        if (fake_requester.tells)
            tell(&host->observer);
        (void)error_set(error, ERROR_BUSY, "VM web1 is held by another run");
        error->number = EAGAIN;
        return -1;
    }
    json_t *asked = selection_object(&options->selection);
    json_set_string(asked, "scratch", options->scratch_directory);
    json_set_integer(asked, "reserve", (int64_t)options->scratch_reserve);
    json_set_integer(asked, "freeze", options->freeze_limit);
    json_set_integer(asked, "hold", options->hold_limit);
    json_set_boolean(asked, "stopped", options->hold_stopped);
    json_set_boolean(asked, "no_recovery", options->no_auto_recovery);
    json_set_boolean(asked, "full", options->full);
    json_set_integer(asked, "workers", options->workers);
    json_set_boolean(asked, "repository", repository != NULL);
    return answer(host, asked, ret_result, error);
}

int requester_list(struct repository *repository, const struct requester_list_options *options,
                   json_t **ret_result, struct error *error)
{
    (void)repository;
    static const struct requester_list_options all;
    options = options ? options : &all;
    json_t *asked = json_object();
    json_set_string(asked, "vm", options->vm);
    json_set_integer(asked, "since", options->since);
    json_set_integer(asked, "until", options->until);
    return answer(NULL, asked, ret_result, error);
}

int requester_show(struct repository *repository, const char *backup, json_t **ret_result,
                   struct error *error)
{
    (void)repository;
    json_t *asked = json_object();
    json_set_string(asked, "backup", backup);
    return answer(NULL, asked, ret_result, error);
}

int requester_diff(struct repository *repository, const char *from, const char *to,
                   json_t **ret_result, struct error *error)
{
    (void)repository;
    json_t *asked = json_object();
    json_set_string(asked, "from", from);
    json_set_string(asked, "to", to);
    return answer(NULL, asked, ret_result, error);
}

static json_t *restore_object(const struct requester_restore_options *options, bool plan)
{
    json_t *asked = json_object();
    json_set_string(asked, "backup", options->backup);
    json_set(asked, "vms", name_array(options->vms, options->count));
    json_set_boolean(asked, "yes", options->yes);
    json_set_boolean(asked, "plan", plan);
    json_set_integer(asked, "workers", options->workers);
    return asked;
}

int requester_plan_restore(const struct requester_host *host, struct repository *repository,
                           const struct requester_restore_options *options, json_t **ret_result,
                           struct error *error)
{
    (void)repository;
    const char *plan = fake_requester.plan;
    if (!plan)
        return answer(host, restore_object(options, true), ret_result, error);
    *ret_result = json_parse(plan, strlen(plan), "the test's plan", error);
    return *ret_result ? 0 : -1;
}

int requester_restore(const struct requester_host *host, struct repository *repository,
                      const struct requester_restore_options *options, json_t **ret_result,
                      struct error *error)
{
    (void)repository;
    return answer(host, restore_object(options, false), ret_result, error);
}

int requester_forget(struct repository *repository, const char *backup, bool newest,
                     json_t **ret_result, struct error *error)
{
    (void)repository;
    json_t *asked = json_object();
    json_set_string(asked, "backup", backup);
    json_set_boolean(asked, "newest", newest);
    return answer(NULL, asked, ret_result, error);
}

int requester_retain(const struct requester_host *host, struct repository *repository,
                     const struct requester_retention *retention, json_t **ret_result,
                     struct error *error)
{
    (void)host;
    (void)repository;
    (void)retention;
    (void)error;
    *ret_result = json_object();
    return 0;
}

int requester_recover(const struct requester_host *host, json_t **ret_result, struct error *error)
{
    return answer(host, json_object(), ret_result, error);
}

json_t *requester_record_json(const struct coordinator_record *record, const char *vm,
                              const char *disk)
{
    json_t *object = json_object();
    json_set_string(object, "kind", record->kind);
    json_set_string(object, "name", record->name);
    json_set_string(object, "vm", vm);
    json_set_string(object, "disk", disk);
    json_set_string(object, "message", record->message);
    return object;
}

int requester_watchdog(const char *uri, int socket, const char *journal)
{
    (void)uri;
    (void)journal;
    return socket == 7 ? 0 : 1;
}
