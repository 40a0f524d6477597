/* hypervisor-probe: the hypervisor room and undo, driven by lines on standard input. For
 * tests/e2e/10-hypervisor.bats.
 *
 *   hypervisor-probe [--scratch DIR] [--reserve BYTES] [--hold-stopped] [--state DIR] [--uri URI]
 *   hypervisor-probe watchdog|recover ...   (the watchdog of its runs; what dead runs left)
 *
 * A request is one line of words separated by tabs; the answer is one line: `ok MS ANSWER` (MS:
 * milliseconds it took) or `error KIND MESSAGE`. Lists are separated by `; `.
 *
 *   describe VM            state, then each disk: target included|left-out size chain (reason)
 *   ping|freeze|thaw|frozen VM SECONDS     thaw-until VM SECONDS
 *   volumes VM             mountpoint file-system targets unmapped
 *   guard VM               adds the step that thaws the guest
 *   prepare VM TARGET...   begin VM   open VM TARGET   check VM   end VM    (an instant; one set)
 *   room   undo-check   undo-all   calls   start VM   destroy VM
 *   freeze-all VM...       at once; the milliseconds of each
 *   crowd VM SECONDS       asks the agent 16 times at once: longest look at the state meanwhile in
 * ms, failures set-aside VM           powers off and undefines, as a restore does, with the step
 * that brings it back
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "hypervisor/agent.h"
#include "hypervisor/instant.h"
#include "hypervisor/undo-kinds.h"

#include <getopt.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define SET "set"
enum { WORDS = 32, CROWD = 16 };

static const char *uri, *state_directory = "/var/lib/vmshadow";
static struct instants_settings settings;
static struct instants *instants;
static struct undo_kind kinds[8]; /* ends with one without a name */
static struct undo_table table;
static char answer[65536];

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
    size_t used = strlen(answer);
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(answer + used, sizeof answer - used, format, arguments);
    va_end(arguments);
}

static void make_table(void)
{
    size_t count = 0;
    kinds[count++] = hypervisor_thaw_guest;
    kinds[count++] = hypervisor_end_backup_job;
    kinds[count++] = hypervisor_watch_scratch;
    kinds[count++] = hypervisor_restore_domain;
    kinds[count++] = undo_remove_file;
    kinds[count++] = undo_remove_directory;
    table = (struct undo_table){.kinds = kinds, .context = undo_pool_new(uri)};
}

/* ---- Requests ---- */

struct request {
    char *words[WORDS + 1]; /* ends with NULL */
    size_t count;
    const char *vm;
    int64_t limit;
    char *uuid;
};

static void describe_disk(const struct disk *disk)
{
    say("; %s %s %lld %s", disk->target, disk->included ? "included" : "left-out",
        (long long)disk->size, disk->has_block_job ? "job " : "");
    for (size_t i = 0; i < disk->layer_count; i++)
        say("%s%s:%s", i ? " <- " : "", disk->layers[i].format ? disk->layers[i].format : "?",
            disk->layers[i].path ? disk->layers[i].path : "(network)");
    if (disk->reason)
        say(" (%s)", disk->reason);
}

static int describe(struct request *request, struct error *error)
{
    CLEANUP(domain_freep) struct domain *domain = NULL;
    if (domain_lookup(settings.hypervisor, request->vm, &domain, error) != 0)
        return -1;
    say("%s agent=%s save=%s", domain_state_name(domain->state),
        domain->agent_connected     ? "connected"
        : domain->has_agent_channel ? "channel"
                                    : "none",
        domain->managed_save ? domain->managed_save : "none");
    for (size_t i = 0; i < domain->disk_count; i++)
        describe_disk(&domain->disks[i]);
    return 0;
}

static int list(struct request *request, struct error *error)
{
    (void)request;
    struct domain **domains;
    size_t count;
    if (domain_list(settings.hypervisor, NULL, 0, &domains, &count, error) != 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        say("%s%s", i ? "; " : "", domains[i]->name);
    domain_list_free(domains, count);
    return 0;
}

static int ping(struct request *request, struct error *error)
{
    return agent_ping(settings.hypervisor, request->uuid, request->limit, error);
}

static int freeze(struct request *request, struct error *error)
{
    int count;
    if (agent_freeze(settings.hypervisor, request->uuid, request->limit, &count, error) != 0)
        return -1;
    say("%d", count);
    return 0;
}

static int thaw(struct request *request, struct error *error)
{
    int count;
    if (agent_thaw(settings.hypervisor, request->uuid, request->limit, &count, error) != 0)
        return -1;
    say("%d", count);
    return 0;
}

static int frozen(struct request *request, struct error *error)
{
    bool is_frozen;
    if (agent_is_frozen(settings.hypervisor, request->uuid, request->limit, &is_frozen, error) != 0)
        return -1;
    say("%s", is_frozen ? "frozen" : "thawed");
    return 0;
}

static int thaw_until(struct request *request, struct error *error)
{
    return agent_thaw_until(settings.hypervisor, request->uuid, clock_monotonic() + request->limit,
                            error);
}

static int volumes(struct request *request, struct error *error)
{
    struct agent_volumes found;
    if (agent_get_volumes(settings.hypervisor, request->uuid, 10 * CLOCK_SECOND, &found, error) !=
        0)
        return -1;
    for (size_t i = 0; i < found.count; i++) {
        say("%s%s %s", i ? "; " : "", found.items[i].mountpoint, found.items[i].file_system);
        for (size_t k = 0; k < found.items[i].target_count; k++)
            say(" %s", found.items[i].targets[k]);
        say(" %zu", found.items[i].unmapped);
    }
    agent_volumes_free(&found);
    return 0;
}

static int guard(struct request *request, struct error *error)
{
    uint64_t step;
    return undo_add(settings.undo, request->uuid, hypervisor_thaw_guest.name,
                    hypervisor_guest_arguments(request->uuid, request->vm), &step, error);
}

static int prepare(struct request *request, struct error *error)
{
    CLEANUP(domain_freep) struct domain *domain = NULL;
    if (domain_lookup(settings.hypervisor, request->vm, &domain, error) != 0)
        return -1;
    return instants_prepare(instants, SET, domain, (const char *const *)request->words + 2, error);
}

static int begin(struct request *request, struct error *error)
{
    return instants_begin(instants, SET, request->uuid, error);
}

static int open_disk(struct request *request, struct error *error)
{
    CLEANUP_FREE char *found = NULL;
    int64_t size;
    const char *target = request->count > 2 ? request->words[2] : "";
    if (instants_open(instants, SET, request->uuid, target, &found, &size, error) != 0)
        return -1;
    say("%s %lld", found, (long long)size);
    return 0;
}

static int check(struct request *request, struct error *error)
{
    return instants_check(instants, SET, request->uuid, error);
}

static int end(struct request *request, struct error *error)
{
    return instants_end(instants, SET, request->uuid, error);
}

static int room(struct request *request, struct error *error)
{
    (void)request;
    return instants_check_room(instants, error);
}

static int check_undo(struct request *request, struct error *error)
{
    (void)request;
    return undo_check(settings.undo, error);
}

static int run_undo(struct request *request, struct error *error)
{
    (void)request;
    return undo_all(settings.undo, error);
}

static int calls(struct request *request, struct error *error)
{
    (void)request;
    (void)error;
    say("%lu", hypervisor_call_count());
    return 0;
}

static int start(struct request *request, struct error *error)
{
    return domain_start(settings.hypervisor, request->uuid, false, error);
}

static int destroy(struct request *request, struct error *error)
{
    return domain_destroy(settings.hypervisor, request->uuid, error);
}

/* ---- Several at once ---- */

struct parallel {
    struct request *request;
    pthread_t thread;
    const char *vm;
    int64_t nanoseconds;
    struct error error;
};

static void *freeze_one(void *context)
{
    struct parallel *one = context;
    CLEANUP(domain_freep) struct domain *domain = NULL;
    int count;
    if (domain_lookup(settings.hypervisor, one->vm, &domain, &one->error) != 0)
        return NULL;
    int64_t began = clock_monotonic();
    (void)agent_freeze(settings.hypervisor, domain->uuid, 30 * CLOCK_SECOND, &count, &one->error);
    one->nanoseconds = clock_monotonic() - began;
    return NULL;
}

/* freeze-all VM...: in parallel; the milliseconds of each. */
static int freeze_all(struct request *request, struct error *error)
{
    struct parallel all[WORDS] = {{NULL}};
    for (size_t i = 1; i < request->count; i++) {
        all[i].vm = request->words[i];
        if (pthread_create(&all[i].thread, NULL, freeze_one, &all[i]) != 0)
            abort();
    }
    for (size_t i = 1; i < request->count; i++) {
        (void)pthread_join(all[i].thread, NULL);
        error_move(error, &all[i].error);
        say("%lld ", (long long)(all[i].nanoseconds / CLOCK_MILLISECOND));
    }
    return error_is_set(error) ? -1 : 0;
}

static void *ping_one(void *context)
{
    struct parallel *one = context;
    (void)agent_ping(settings.hypervisor, one->vm, one->nanoseconds, &one->error);
    return NULL;
}

/* The UUID and SECONDS, COUNT times at once; the longest look at the VM's state meanwhile. */
static int crowd(struct request *request, struct error *error)
{
    struct parallel all[CROWD] = {{NULL}};
    int64_t longest = 0, until = clock_monotonic() + request->limit;
    for (size_t i = 0; i < CROWD; i++) {
        all[i] = (struct parallel){.vm = request->uuid, .nanoseconds = request->limit};
        if (pthread_create(&all[i].thread, NULL, ping_one, &all[i]) != 0)
            abort();
    }
    while (clock_monotonic() < until && !error_is_set(error)) {
        enum domain_state state;
        int64_t began = clock_monotonic();
        (void)domain_get_state(settings.hypervisor, request->uuid, &state, error);
        int64_t passed = clock_monotonic() - began;
        longest = passed > longest ? passed : longest;
        clock_sleep(20 * CLOCK_MILLISECOND);
    }
    unsigned failed = 0;
    for (size_t i = 0; i < CROWD; i++) {
        (void)pthread_join(all[i].thread, NULL);
        failed += error_is_set(&all[i].error);
    }
    say("%lld %u", (long long)(longest / CLOCK_MILLISECOND), failed);
    return error_is_set(error) ? -1 : 0;
}

/* As a restore does: the step that brings the definition back, then no definition. */
static int set_aside(struct request *request, struct error *error)
{
    CLEANUP(domain_freep) struct domain *domain = NULL;
    uint64_t step;
    if (domain_lookup(settings.hypervisor, request->vm, &domain, error) != 0)
        return -1;
    struct hypervisor_before before = {
        .uuid = domain->uuid,
        .name = domain->name,
        .xml = domain->inactive_xml,
        .new_xml = domain->inactive_xml,
        .autostart = domain->autostart,
        .state = domain_state_name(domain->state),
    };
    if (undo_add(settings.undo, domain->uuid, hypervisor_restore_domain.name,
                 hypervisor_domain_arguments(&before), &step, error) != 0 ||
        domain_destroy(settings.hypervisor, domain->uuid, error) != 0)
        return -1;
    return domain_undefine(settings.hypervisor, domain->uuid, error);
}

/* ---- The loop ---- */

static const struct {
    const char *name;
    int (*function)(struct request *request, struct error *error);
    bool names_vm;
} requests[] = {
    {"list", list, false},
    {"describe", describe, false},
    {"ping", ping, true},
    {"freeze", freeze, true},
    {"thaw", thaw, true},
    {"frozen", frozen, true},
    {"volumes", volumes, true},
    {"guard", guard, true},
    {"thaw-until", thaw_until, true},
    {"prepare", prepare, false},
    {"begin", begin, true},
    {"open", open_disk, true},
    {"check", check, true},
    {"end", end, true},
    {"undo-check", check_undo, false},
    {"undo-all", run_undo, false},
    {"calls", calls, false},
    {"room", room, false},
    {"start", start, true},
    {"destroy", destroy, true},
    {"freeze-all", freeze_all, false},
    {"crowd", crowd, true},
    {"set-aside", set_aside, false},
};

/* UUIDs are kept, so that a request makes no call but its own. */
static int find_uuid(struct request *request, struct error *error)
{
    static struct {
        char *name, *uuid;
    } known[WORDS];
    size_t i = 0;
    while (i < WORDS && known[i].name && strcmp(known[i].name, request->vm) != 0)
        i++;
    if (i < WORDS && !known[i].name) {
        CLEANUP(domain_freep) struct domain *domain = NULL;
        if (domain_lookup(settings.hypervisor, request->vm, &domain, error) != 0)
            return -1;
        known[i].name = memory_copy_string(request->vm);
        known[i].uuid = memory_copy_string(domain->uuid);
    }
    if (i == WORDS)
        return error_set(error, ERROR_USAGE, "too many VMs");
    request->uuid = known[i].uuid;
    return 0;
}

static int answer_request(struct request *request, int64_t *began, struct error *error)
{
    request->vm = request->count > 1 ? request->words[1] : "";
    request->limit = request->count > 2 ? strtoll(request->words[2], NULL, 10) * CLOCK_SECOND
                                        : 10 * CLOCK_SECOND;
    for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
        if (strcmp(requests[i].name, request->words[0]) != 0)
            continue;
        if (requests[i].names_vm && find_uuid(request, error) != 0)
            return -1;
        *began = clock_monotonic();
        return requests[i].function(request, error);
    }
    return error_set(error, ERROR_USAGE, "no such request: %s", request->words[0]);
}

static void answer_line(char *line)
{
    struct request request = {.count = 0};
    struct error error = ERROR_INIT;
    line[strcspn(line, "\n")] = '\0';
    for (char *word = line; word && request.count < WORDS; request.count++)
        request.words[request.count] = strsep(&word, "\t");
    answer[0] = '\0';
    int64_t began = clock_monotonic();
    if (answer_request(&request, &began, &error) == 0)
        printf("ok %lld %s\n", (long long)((clock_monotonic() - began) / CLOCK_MILLISECOND),
               answer);
    else
        printf("error %s %s\n", error_kind_name(error.kind), error.message);
    (void)fflush(stdout);
}

/* ---- Start ---- */

static void report(void *context, const struct undo_report *found)
{
    (void)context;
    printf("%s: undone %u, left %u %s\n", found->description, found->undone, found->left,
           error_is_set(&found->error) ? found->error.message : "");
}

static int complain(const struct error *error)
{
    printf("error %s %s\n", error_kind_name(error->kind), error->message);
    return 1;
}

static int run_requests(void)
{
    char *const arguments[] = {(char *)"hypervisor-probe", (char *)"watchdog", NULL};
    struct undo_settings run = {.state_directory = state_directory,
                                .description = "hypervisor-probe",
                                .program = "/proc/self/exe",
                                .arguments = arguments};
    struct error error = ERROR_INIT;
    if (hypervisor_open(uri, &settings.hypervisor, &error) != 0 ||
        undo_begin(&run, &table, &settings.undo, &error) != 0)
        return complain(&error);
    instants = instants_new(&settings);
    printf("ok 0 %s\n", hypervisor_version(settings.hypervisor));
    (void)fflush(stdout);
    CLEANUP_FREE char *line = NULL;
    size_t size = 0;
    while (getline(&line, &size, stdin) > 0)
        answer_line(line);
    instants_free(instants);
    undo_end(settings.undo);
    hypervisor_close(settings.hypervisor);
    return 0;
}

int main(int count, char **words)
{
    static const struct option options[] = {
        {"scratch", required_argument, NULL, 's'}, {"reserve", required_argument, NULL, 'r'},
        {"state", required_argument, NULL, 'd'},   {"uri", required_argument, NULL, 'u'},
        {"hold-stopped", no_argument, NULL, 'h'},  {"socket", required_argument, NULL, 'S'},
        {"journal", required_argument, NULL, 'J'}, {NULL, 0, NULL, 0}};
    const char *journal = NULL;
    int socket = -1, option;
    while ((option = getopt_long(count, words, "", options, NULL)) >= 0) {
        if (option == 's')
            settings.scratch_directory = optarg;
        else if (option == 'r')
            settings.scratch_reserve = strtoull(optarg, NULL, 10);
        else if (option == 'd')
            state_directory = optarg;
        else if (option == 'u')
            uri = optarg;
        else if (option == 'h')
            settings.hold_stopped = true;
        else if (option == 'S')
            socket = (int)strtol(optarg, NULL, 10);
        else if (option == 'J')
            journal = optarg;
        else
            return 2;
    }
    make_table();
    log_set_program("hypervisor-probe");
    const char *verb = optind < count ? words[optind] : "";
    struct error error = ERROR_INIT;
    int status;
    if (strcmp(verb, "watchdog") == 0)
        status = undo_watchdog(socket, journal, &table);
    else if (strcmp(verb, "recover") == 0)
        status =
            undo_recover(state_directory, &table, report, NULL, &error) < 0 ? complain(&error) : 0;
    else
        status = run_requests();
    undo_pool_free(table.context);
    return status;
}
