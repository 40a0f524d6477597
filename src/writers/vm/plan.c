/* The published decision table, fact by fact. A guest is asked (ping, mounted volumes) only when it
 * runs; what it answers is judged by plan-conditions.c, which asks nobody. */
#include "writers/vm/plan.h"

#include "hypervisor/save-image.h"
#include "hypervisor/saved-state.h"

#include <string.h>

const char *plan_method_name(enum plan_method method)
{
    static const char *const names[] = {"child-snapshot", "saved-state", "offline"};
    return names[method];
}

const char *plan_condition_text(unsigned number)
{
    static const char *const texts[PLAN_CONDITIONS] = {
        "the guest requestor service is installed and answers",
        "the VM is running",
        "the snapshot file location is on the same host volume as the VM's disk images",
        "all guest volumes are on basic disks",
        "every guest volume's file system supports snapshots",
    };
    return number >= 1 && number <= PLAN_CONDITIONS ? texts[number - 1] : "";
}

static void set_fact(struct plan_condition *condition, bool holds, char *fact)
{
    free(condition->fact);
    condition->holds = holds;
    condition->fact = fact;
}

static void ask_agent(struct hypervisor *hypervisor, struct plan *plan, int64_t limit)
{
    struct error error = ERROR_INIT;
    struct plan_condition *service = &plan->conditions[0];
    if (!plan->domain->has_agent_channel)
        set_fact(service, false, memory_copy_string("the VM has no channel for a guest agent"));
    else if (agent_ping(hypervisor, plan->domain->uuid, limit, &error) != 0)
        set_fact(service, false, memory_copy_string(error.message));
    else
        set_fact(service, true, memory_copy_string("QEMU's guest agent answers"));
}

static void ask_volumes(struct hypervisor *hypervisor, struct plan *plan, int64_t limit)
{
    struct plan_condition *basic = &plan->conditions[3], *freezable = &plan->conditions[4];
    struct agent_volumes volumes = {0};
    struct error error = ERROR_INIT;
    if (!plan->conditions[0].holds) {
        set_fact(basic, false, memory_copy_string("unknown: no guest service answers"));
        set_fact(freezable, false, memory_copy_string("unknown: no guest service answers"));
        return;
    }
    if (agent_get_volumes(hypervisor, plan->domain->uuid, limit, &volumes, &error) != 0) {
        set_fact(basic, false, memory_format("unknown: %s", error.message));
        set_fact(freezable, false, memory_format("unknown: %s", error.message));
        return;
    }
    plan_judge_basic_disks(plan->domain, &volumes, basic);
    plan_judge_file_systems(plan->domain, &volumes, freezable);
    agent_volumes_free(&volumes);
}

static void find_facts(struct hypervisor *hypervisor, struct plan *plan, int64_t limit)
{
    bool running = plan->domain->state == DOMAIN_RUNNING;
    set_fact(&plan->conditions[1], running,
             memory_format("the VM is %s", domain_state_name(plan->domain->state)));
    plan_judge_location(plan->domain, plan->location, &plan->conditions[2]);
    if (running) {
        ask_agent(hypervisor, plan, limit);
        ask_volumes(hypervisor, plan, limit);
        return;
    }
    static const unsigned asked[] = {0, 3, 4};
    for (unsigned i = 0; i < ARRAY_SIZE(asked); i++)
        set_fact(&plan->conditions[asked[i]], false,
                 memory_copy_string("unknown: the VM is not running"));
}

static enum plan_method choose(const struct plan *plan)
{
    switch (plan->domain->state) {
    case DOMAIN_OFF:
    case DOMAIN_SAVED:
    case DOMAIN_CRASHED:
        return PLAN_OFFLINE;
    default:
        break;
    }
    for (unsigned i = 0; i < PLAN_CONDITIONS; i++)
        if (!plan->conditions[i].holds)
            return PLAN_SAVED_STATE;
    return PLAN_CHILD_SNAPSHOT;
}

char *plan_failing_condition(const struct plan *plan)
{
    for (unsigned i = 0; i < PLAN_CONDITIONS; i++)
        if (!plan->conditions[i].holds)
            return memory_format("condition %u does not hold (%s): %s", i + 1,
                                 plan_condition_text(i + 1), plan->conditions[i].fact);
    return memory_copy_string("");
}

static const struct disk *disk_with_foreign_job(const struct domain *domain)
{
    for (size_t i = 0; i < domain->disk_count; i++)
        if (domain->disks[i].included && domain->disks[i].has_block_job)
            return &domain->disks[i];
    return NULL;
}

/* Disks of a VM that is off, which only its images tell of. */
static char *refuse_images(const struct domain *domain)
{
    for (size_t i = 0; i < domain->disk_count; i++) {
        const struct disk *disk = &domain->disks[i];
        const struct error *obstacle = &disk->obstacle;
        if (disk->included && error_is_set(obstacle))
            return memory_format("disk %s: %s%s%s", disk->target, obstacle->message,
                                 *obstacle->hint ? "; " : "", obstacle->hint);
    }
    return NULL;
}

static char *refuse_save(const struct plan *plan)
{
    CLEANUP_FREE char *obstacle = saved_state_obstacle(plan->domain);
    if (!obstacle)
        return NULL;
    CLEANUP_FREE char *reason = plan_failing_condition(plan);
    return memory_format("its memory cannot be saved (%s), and it cannot be backed up by child "
                         "snapshot: %s",
                         obstacle, reason);
}

/* QEMU hands out what is in them, so that a restore could only make a plain image, which the VM's
 * definition does not fit; and what was encrypted would lie open on this host. */
static char *refuse_wrapped(const struct domain *domain)
{
    for (size_t i = 0; i < domain->disk_count; i++) {
        const struct disk *disk = &domain->disks[i];
        if (disk->included && (disk->encrypted || disk->sliced))
            return memory_format("disk %s is %s, and could only come back as a plain image: leave "
                                 "it out with --exclude-disk %s:%s",
                                 disk->target,
                                 disk->encrypted ? "encrypted by QEMU" : "a slice of its file",
                                 domain->name, disk->target);
    }
    return NULL;
}

static char *find_refusal(const struct plan *plan)
{
    const struct disk *busy = disk_with_foreign_job(plan->domain);
    if (busy)
        return memory_format("disk %s has a block job of somebody else (virsh blockjob %s %s)",
                             busy->target, plan->domain->name, busy->target);
    if (plan->domain->state == DOMAIN_OTHER)
        return memory_copy_string("it is shutting down, suspended or being migrated");
    if (plan->domain->state == DOMAIN_SAVED && !plan->domain->managed_save)
        return memory_copy_string("it has a saved state, but its save image is not where libvirt "
                                  "keeps it; start it or drop the saved state");
    if (plan->domain->state == DOMAIN_PAUSED_IO)
        return memory_copy_string("QEMU has paused it for an I/O error: see to its disks, then "
                                  "resume it");
    if (plan->domain->state == DOMAIN_CRASHED)
        return memory_format("it has crashed: see what has happened, then end it (virsh destroy "
                             "%s) or reset it (virsh reset %s)",
                             plan->domain->name, plan->domain->name);
    char *wrapped = refuse_wrapped(plan->domain);
    if (wrapped)
        return wrapped;
    return plan->method == PLAN_SAVED_STATE ? refuse_save(plan) : refuse_images(plan->domain);
}

/* Memory of other disks than those of the definition would be worth nothing. What cannot be read is
 * told by whoever copies it. */
static char *refuse_other_disks(struct hypervisor *hypervisor, const struct domain *domain)
{
    struct error error = ERROR_INIT;
    char *xml;
    if (domain->state != DOMAIN_SAVED || !domain->managed_save ||
        save_image_read_xml(hypervisor, domain->managed_save, &xml, NULL) != 0)
        return NULL;
    int result = save_image_check_disks(xml, domain, &error);
    free(xml);
    return result == 0 ? NULL : memory_format("its saved state: %s; %s", error.message, error.hint);
}

/* Where a VM is saved and started again, libvirt has to be able to start it. */
static char *refuse_restart(struct hypervisor *hypervisor, const struct domain *domain)
{
    CLEANUP_FREE char *obstacle = saved_state_restart_obstacle(hypervisor, domain);
    if (!obstacle)
        return NULL;
    return memory_format("a paused VM is saved and started from its image again, paused, and "
                         "libvirt would not start it: %s; start what is missing, or let the VM run",
                         obstacle);
}

struct plan *plan_new(struct hypervisor *hypervisor, struct domain *domain, const char *location,
                      int64_t agent_limit)
{
    struct plan *plan = NEW(struct plan);
    plan->domain = domain;
    plan->pause_estimate = -1;
    plan->location = memory_copy_string(location);
    find_facts(hypervisor, plan, agent_limit);
    plan->method = choose(plan);
    plan->caption = memory_format("Backup Using %s\\%s",
                                  plan->method == PLAN_CHILD_SNAPSHOT ? "Child Partition Snapshot"
                                                                      : "Saved State",
                                  domain->name);
    plan->refused = find_refusal(plan);
    if (!plan->refused)
        plan->refused = refuse_other_disks(hypervisor, domain);
    if (!plan->refused && plan->method == PLAN_SAVED_STATE)
        plan->refused = refuse_restart(hypervisor, domain);
    return plan;
}

void plan_free(struct plan *plan)
{
    if (!plan)
        return;
    domain_free(plan->domain);
    for (unsigned i = 0; i < PLAN_CONDITIONS; i++)
        free(plan->conditions[i].fact);
    free(plan->caption);
    free(plan->refused);
    free(plan->pause_unknown);
    free(plan->location);
    free(plan);
}
