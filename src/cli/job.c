/* With --separate each VM is a set of its own, and a VM that is missing or fails does not keep the
 * others from their backup. A set that meets another run which holds one of its VMs waits for it.
 */
#include "cli/job.h"

#include "base/clock.h"
#include "base/memory.h"
#include "cli/config.h"
#include "cli/job-ending.h"
#include "cli/observer.h"
#include "cli/output.h"
#include "cli/repository-option.h"
#include "cli/verb.h"

#include <errno.h>
#include <string.h>

#define WAIT_LIMIT (30 * 60 * CLOCK_SECOND)
#define WAIT_STEP CLOCK_SECOND
#define WAIT_STEP_LIMIT (10 * CLOCK_SECOND)
#define LOOK (200 * CLOCK_MILLISECOND) /* for a signal */

enum { KEEP_LIMIT = 100000 };
static const char *const report_formats[] = {"text", "json", NULL};

#define OFFSET(member) offsetof(struct job_options, member)
const struct option_rule job_rules[] = {
    {"vm", '\0', OPTION_LIST, "VM", OFFSET(vms),
     "a VM of the set: a name, a UUID, or a pattern with * ? [...]; may be given several times",
     .scope = OPTION_JOB},
    {"tag", '\0', OPTION_LIST, "TAG", OFFSET(tags),
     "all VMs with this tag in their definition belong to the set; may be given several times",
     .scope = OPTION_JOB},
    {"separate", '\0', OPTION_FLAG, NULL, OFFSET(separate),
     "make one set per VM: they have no common instant, and one that fails does not cost the "
     "others their backup",
     .scope = OPTION_JOB},
    {"keep-last", '\0', OPTION_COUNT, "N", OFFSET(retention.last),
     "after a run without failure, keep the last N backups of the job and what the other rules "
     "need, and take older ones off the list; 0: this rule is off",
     NULL, 0, KEEP_LIMIT, .scope = OPTION_SETTING},
    {"keep-hourly", '\0', OPTION_COUNT, "N", OFFSET(retention.hourly),
     "keep the newest of each of the last N hours that have a backup", NULL, 0, KEEP_LIMIT,
     .scope = OPTION_SETTING},
    {"keep-daily", '\0', OPTION_COUNT, "N", OFFSET(retention.daily), "the same for days", NULL, 0,
     KEEP_LIMIT, .scope = OPTION_SETTING},
    {"keep-weekly", '\0', OPTION_COUNT, "N", OFFSET(retention.weekly), "the same for weeks", NULL,
     0, KEEP_LIMIT, .scope = OPTION_SETTING},
    {"keep-monthly", '\0', OPTION_COUNT, "N", OFFSET(retention.monthly), "the same for months",
     NULL, 0, KEEP_LIMIT, .scope = OPTION_SETTING},
    {"keep-yearly", '\0', OPTION_COUNT, "N", OFFSET(retention.yearly), "the same for years", NULL,
     0, KEEP_LIMIT, .scope = OPTION_SETTING},
    {"on-success", '\0', OPTION_TEXT, "COMMAND", OFFSET(on_success),
     "run COMMAND by the shell after a run without failure, with the report on its standard input",
     .scope = OPTION_SETTING, .none = true},
    {"on-failure", '\0', OPTION_TEXT, "COMMAND", OFFSET(on_failure), "the same after a failed run",
     .scope = OPTION_SETTING, .none = true},
    {"report-format", '\0', OPTION_CHOICE, "text|json", OFFSET(report_format),
     "what these commands are given", report_formats, .scope = OPTION_SETTING, .standard = "text"},
    {"metrics-directory", '\0', OPTION_PATH, "DIR", OFFSET(metrics_directory),
     "write figures of the run to DIR/vmshadow_JOB.prom, for the textfile collector of "
     "Prometheus' node_exporter",
     .scope = OPTION_SETTING, .none = true},
    {"wait-limit", '\0', OPTION_DURATION, "TIME", OFFSET(wait_limit),
     "give up when another run holds a VM for longer than TIME", NULL, CLOCK_SECOND,
     24 * 3600 * CLOCK_SECOND, .scope = OPTION_SETTING, .standard = "30min"},
    {NULL},
};

/* One run. */
struct job {
    const struct job_options *options;
    const char *name;
    struct observer *observer;
    struct requester_host host;
    struct repository *repository;
    char host_name[256];
    json_t *sets;      /* of the report */
    json_t *notices;   /* of the report; NULL = none */
    json_t *retention; /* of the report; NULL = none */
    struct error first;
    size_t failed;
};

/* ---- The selection ------------------------------------------------------------------------- */

static const struct option_value *find_value(const struct options *options, const char *name)
{
    for (size_t i = 0; i < options->value_count; i++)
        if (strcmp(options->values[i].rule->name, name) == 0)
            return &options->values[i];
    return NULL;
}

int job_check_selection(const struct options *options, struct error *error)
{
    const char *job = options->operands[0];
    const struct option_value *all = find_value(options, "all"), *named = find_value(options, "vm");
    if (all && all->text && strcmp(all->text, "no") == 0)
        all = NULL;
    if (!named)
        named = find_value(options, "tag");
    if (all && named)
        return error_set(error, ERROR_USAGE, "job %s: all (%s) excludes vm and tag (%s)", job,
                         all->where, named->where);
    if (all || named)
        return 0;
    (void)error_set(error, ERROR_USAGE, "job %s names no VM: %s/jobs.d/%s.conf", job,
                    config_directory(), job);
    return error_advise(error, "job-without-vms", "its file needs a line with vm, tag or all");
}

static struct requester_selection selection_of(const struct job_options *options)
{
    const struct options *common = &options->backup.common;
    return (struct requester_selection){
        .vms = options->vms.items,
        .count = options->vms.count,
        .all = options->backup.backup.selection.all,
        .tags = options->tags.items,
        .tag_count = options->tags.count,
        .exclude_vms = common->exclude_vms.items,
        .exclude_vm_count = common->exclude_vms.count,
        .exclude_disks = common->exclude_disks.items,
        .exclude_disk_count = common->exclude_disks.count,
        .locations = common->locations,
        .location_count = common->location_count,
    };
}

/* ---- A set --------------------------------------------------------------------------------- */

static json_t *describe_error(const struct error *error)
{
    CLEANUP_JSON json_t *whole = output_add_error(NULL, error);
    return json_incref(json_object_get(whole, "error"));
}

/* Takes over `result`, which may be NULL. */
static void add_set(struct job *job, json_t *vms, json_t *result, struct error *fault)
{
    json_t *set = json_object();
    json_set(set, "vms", vms);
    json_set_string(set, "backup", json_string_or(result, "backup", NULL));
    json_set(set, "details", result ? result : json_null());
    json_set(set, "error", error_is_set(fault) ? describe_error(fault) : json_null());
    json_append(job->sets, set);
    job->failed += error_is_set(fault);
    error_move(&job->first, fault);
}

static json_t *names_of(const json_t *vms)
{
    json_t *names = json_array(), *vm;
    size_t index;
    json_array_foreach(vms, index, vm)
    {
        json_append_string(names, json_string_or(vm, "name", ""));
    }
    return names;
}

/* Held by another run, which will end: not by one that was cut off and waits for `recover`. */
static bool is_held(const struct error *error)
{
    return error->kind == ERROR_BUSY &&
           (error->number == EAGAIN || error->number == (int)VSS_E_SNAPSHOT_SET_IN_PROGRESS);
}

static bool is_interrupted(const struct job *job)
{
    return *job->host.interrupted != 0;
}

static void notice(const struct job *job, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void notice(const struct job *job, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    CLEANUP_FREE char *text = memory_vformat(format, arguments);
    va_end(arguments);
    job->host.observer.notice(job->host.observer.context, text);
}

static void wait_for(const struct job *job, int64_t time, int64_t deadline)
{
    int64_t end = clock_monotonic() + time;
    while (clock_monotonic() < (end < deadline ? end : deadline) && !is_interrupted(job))
        clock_sleep(LOOK);
}

/* Each try is a whole run, with a journal and a watchdog: the longer it takes, the fewer. */
static int back_up(struct job *job, const struct requester_backup_options *options,
                   json_t **ret_result, struct error *error)
{
    int64_t limit = job->options->wait_limit ? job->options->wait_limit : WAIT_LIMIT;
    int64_t deadline = clock_monotonic() + limit, step = WAIT_STEP;
    for (;; step = step < WAIT_STEP_LIMIT / 2 ? 2 * step : WAIT_STEP_LIMIT) {
        if (requester_backup(&job->host, job->repository, options, ret_result, error) == 0)
            return 0;
        if (!is_held(error) || is_interrupted(job) || clock_monotonic() >= deadline)
            return -1;
        notice(job, "%s; waiting for it", error->message);
        error_clear(error);
        wait_for(job, step, deadline);
    }
}

static void run_set(struct job *job, const struct requester_selection *selection, json_t *names)
{
    struct requester_backup_options backup = backup_options_get(&job->options->backup);
    struct error fault = ERROR_INIT;
    json_t *result = NULL;
    backup.selection = *selection;
    backup.job = job->name;
    backup.separate = job->options->separate;
    if (is_interrupted(job))
        (void)error_set(&fault, ERROR_INTERRUPTED, "it was not begun: the run was interrupted");
    else
        (void)back_up(job, &backup, &result, &fault);
    if (result) {
        json_decref(names);
        names = names_of(json_object_get(result, "vms"));
    }
    add_set(job, names, result, &fault);
}

static void run_separate(struct job *job, const struct requester_selection *whole,
                         const json_t *found)
{
    size_t index;
    json_t *item;
    json_array_foreach(json_object_get(found, "vms"), index, item)
    {
        const char *uuid = json_string_or(item, "uuid", "");
        struct requester_selection one = *whole;
        one.vms = &uuid;
        one.count = 1;
        one.all = false;
        one.tag_count = one.exclude_vm_count = 0;
        json_t *names = json_array();
        json_append_string(names, json_string_or(item, "name", ""));
        run_set(job, &one, names);
    }
    json_array_foreach(json_object_get(found, "missing"), index, item)
    {
        struct error fault = ERROR_INIT;
        json_t *names = json_array();
        (void)error_set(&fault, ERROR_NOT_FOUND, "VM %s: there is no such VM",
                        json_string_value(item));
        (void)error_advise(&fault, "no-such-vm", "virsh list --all shows the names");
        json_append(names, json_incref(item));
        add_set(job, names, NULL, &fault);
    }
}

static int run_sets(struct job *job, struct error *error)
{
    struct requester_selection selection = selection_of(job->options);
    CLEANUP_JSON json_t *found = NULL;
    if (requester_select(&job->host, &selection, &found, error) < 0)
        return -1;
    if (!json_array_size(json_object_get(found, "vms")) &&
        !json_array_size(json_object_get(found, "missing")))
        return error_set(error, ERROR_NOT_FOUND, "the job means no VM of this host");
    if (job->options->separate) {
        run_separate(job, &selection, found);
        return 0;
    }
    json_t *names = names_of(json_object_get(found, "vms")), *missing;
    size_t index;
    json_array_foreach(json_object_get(found, "missing"), index, missing)
    {
        json_append(names, json_incref(missing));
    }
    run_set(job, &selection, names);
    return 0;
}

/* ---- The run ------------------------------------------------------------------------------- */

/* Older backups go only after a run of which everything went well. */
static int retain(struct job *job, struct error *error)
{
    if (retention_is_off(&job->options->retention) || job->failed)
        return 0;
    const char **backups = NULL;
    size_t index, count = 0;
    json_t *set;
    json_array_foreach(job->sets, index, set)
    {
        ARRAY_APPEND(backups, count, json_string_or(set, "backup", ""));
    }
    struct requester_retention retention = {
        .job = job->name,
        .host = job->host_name,
        .policy = job->options->retention,
        .new_backups = backups,
        .new_count = count,
    };
    int result = requester_retain(&job->host, job->repository, &retention, &job->retention, error);
    free((void *)backups);
    return result;
}

static int run_all(struct job *job, struct error *error)
{
    const struct options *common = &job->options->backup.common;
    int result = job_check_selection(common, error);
    if (result == 0)
        result = repository_option_open(common, &job->repository, error);
    if (result == 0)
        result = run_sets(job, error);
    /* Before retention, which says in its own member why it stopped. */
    job->notices = observer_notices(job->observer);
    return result == 0 ? retain(job, error) : -1;
}

static int conclude(const struct job *job, struct error *first, struct error *error)
{
    size_t sets = json_array_size(job->sets);
    if (!error_is_set(first))
        return 0;
    error_move(error, first);
    if (job->failed && sets > 1)
        return error_prefix(error, "job %s: %zu of %zu sets failed; ", job->name, job->failed,
                            sets);
    return error_prefix(error, "job %s: ", job->name);
}

int job_run(const struct job_options *options, json_t **ret_report, struct error *error)
{
    const struct options *common = &options->backup.common;
    struct job job = {.options = options, .name = common->operands[0], .sets = json_array()};
    int64_t wall = clock_wall(), begin = clock_monotonic();
    struct error fault = ERROR_INIT;
    (void)gethostname(job.host_name, sizeof job.host_name - 1);
    if (observer_open(common, options->backup.events, &job.observer, &fault) == 0) {
        job.host = observer_host(job.observer);
        (void)run_all(&job, &fault);
    }
    error_move(&job.first, &fault);
    (void)observer_close(job.observer, &job.first);
    json_t *report = job_report(&(struct job_outcome){
        .job = job.name,
        .host = job.host_name,
        .wall = wall,
        .begin = begin,
        .good = !error_is_set(&job.first),
        .failed = job.failed,
        .sets = job.sets,
        .notices = job.notices,
        .retention = job.retention,
    });
    int result = conclude(&job, &job.first, error);
    if (result < 0)
        report = output_add_error(report, error);
    job_end(options, report);
    *ret_report = report;
    json_decref(job.sets);
    json_decref(job.notices);
    json_decref(job.retention);
    repository_free(job.repository);
    return result;
}
