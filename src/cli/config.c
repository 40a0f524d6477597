#include "cli/config.h"

#include "base/memory.h"
#include "cli/verb.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

enum { JOB_LENGTH = 100, KEY_LENGTH = 64, JOBS_LIMIT = 4096 };

const char *config_directory(void)
{
    const char *directory = getenv("VMSHADOW_CONFIG_DIR");
    return directory && *directory ? directory : "/etc/vmshadow";
}

/* ---- Keys ---------------------------------------------------------------------------------- */

/* An option of any verb; of those of the same name the first that files may give. */
static const struct option_rule *find_anywhere(const char *key)
{
    const struct option_rule *once = NULL;
    for (const struct verb *const *verb = verbs; *verb; verb++) {
        const struct option_rule *rule =
            (*verb)->internal ? NULL : options_find((*verb)->options, key);
        if (rule && rule->scope != OPTION_ONCE)
            return rule;
        if (rule)
            once = rule;
    }
    return once;
}

/* Steps of one letter from one word to the other. */
static size_t distance(const char *one, const char *other)
{
    size_t row[KEY_LENGTH + 1], columns = strlen(other);
    for (size_t j = 0; j <= columns; j++)
        row[j] = j;
    for (size_t i = 1; one[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= columns; j++) {
            size_t change = diagonal + (one[i - 1] != other[j - 1]);
            size_t step = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            diagonal = row[j];
            row[j] = change < step ? change : step;
        }
    }
    return row[columns];
}

static const char *nearest_key(const char *key)
{
    const char *nearest = NULL;
    size_t least = 4; /* further away it is another word */
    for (const struct verb *const *verb = verbs; *verb && strlen(key) <= KEY_LENGTH; verb++) {
        const struct option_rule *rule;
        for (size_t i = 0; (rule = options_rule((*verb)->options, i)); i++) {
            if ((*verb)->internal || rule->scope == OPTION_ONCE || strlen(rule->name) > KEY_LENGTH)
                continue;
            size_t steps = distance(key, rule->name);
            if (steps < least) {
                least = steps;
                nearest = rule->name;
            }
        }
    }
    return nearest;
}

static int refuse_key(const char *where, const char *key, struct error *error)
{
    const char *nearest = nearest_key(key);
    (void)error_set(error, ERROR_USAGE, "%s: there is no key '%s'", where, key);
    if (nearest)
        return error_advise(error, "no-such-key", "did you mean %s?", nearest);
    return error_advise(error, "no-such-key",
                        "vmshadow config lists the keys, vmshadow.conf(5) describes them");
}

static int check_scope(const struct option_rule *rule, bool in_job, const char *where,
                       struct error *error)
{
    if (rule->scope == OPTION_SETTING || (rule->scope == OPTION_JOB && in_job))
        return 0;
    if (rule->scope == OPTION_JOB) {
        (void)error_set(error, ERROR_USAGE,
                        "%s: %s chooses VMs, and belongs into the file of a job", where,
                        rule->name);
        return error_advise(error, "configuration-line", "move it to %s/jobs.d/JOB.conf",
                            config_directory());
    }
    return error_set(error, ERROR_USAGE, "%s: %s can be given on the command line only", where,
                     rule->name);
}

static int check_once(const struct config_file *file, size_t index, const struct option_rule *rule,
                      const char *where, struct error *error)
{
    for (size_t i = 0; i < index && !options_is_list(rule); i++)
        if (strcmp(file->lines[i].key, rule->name) == 0)
            return error_set(error, ERROR_USAGE, "%s: %s is given on line %u already", where,
                             rule->name, file->lines[i].number);
    return 0;
}

static int apply_line(struct options *options, const struct option_rule *rules,
                      const struct config_file *file, size_t index, bool in_job,
                      struct error *error)
{
    const struct config_line *line = &file->lines[index];
    CLEANUP_FREE char *where = memory_format("%s:%u", file->path, line->number);
    CLEANUP_FREE char *what = memory_format("%s: %s", where, line->key);
    const struct option_rule *own = options_find(rules, line->key);
    const struct option_rule *rule =
        own && own->scope != OPTION_ONCE ? own : find_anywhere(line->key);
    if (!rule)
        return refuse_key(where, line->key, error);
    if (in_job && rule->scope != OPTION_ONCE && !options_find(verb_run.options, line->key))
        return error_set(error, ERROR_USAGE,
                         "%s: %s is not about a job: it belongs into vmshadow.conf", where,
                         line->key);
    if (check_scope(rule, in_job, where, error) < 0 ||
        check_once(file, index, rule, where, error) < 0)
        return -1;
    return options_take(options, rule, rule == own, line->value, where, what, error);
}

static int apply_file(struct options *options, const struct option_rule *rules, const char *path,
                      bool in_job, config_tell *tell, struct error *error)
{
    struct config_file file;
    int result = config_file_read(path, &file, tell, error);
    for (size_t i = 0; result == 0 && i < file.count; i++) {
        result = apply_line(options, rules, &file, i, in_job, error);
        if (result < 0 && tell) {
            tell(error);
            error_clear(error);
            result = 0;
        }
    }
    config_file_clear(&file);
    if (result < 0 && error->kind == ERROR_USAGE && !error->id[0])
        return error_advise(error, "configuration-line",
                            "mend that line; vmshadow.conf(5) describes the keys");
    return result;
}

/* ---- Files --------------------------------------------------------------------------------- */

static bool is_job_name(const char *job)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.@-";
    size_t length = strlen(job);
    return length && length <= JOB_LENGTH && strspn(job, letters) == length &&
           !strchr(".@-", job[0]);
}

int config_check_job(const char *job, struct error *error)
{
    if (is_job_name(job))
        return 0;
    return error_set(error, ERROR_USAGE,
                     "'%s' is no name of a job: it has letters, digits and _.@- and at most %d "
                     "bytes",
                     job, JOB_LENGTH);
}

static int apply_job(struct options *options, const struct option_rule *rules, const char *job,
                     struct error *error)
{
    if (config_check_job(job, error) < 0)
        return -1;
    CLEANUP_FREE char *path = memory_format("%s/jobs.d/%s.conf", config_directory(), job);
    if (access(path, F_OK) == 0 || errno != ENOENT)
        return apply_file(options, rules, path, true, NULL, error);
    (void)error_set(error, ERROR_NOT_FOUND, "there is no job %s: %s is not there", job, path);
    return error_advise(error, "no-such-job", "write that file as vmshadow.conf(5) describes");
}

int config_apply(struct options *options, const struct option_rule *rules, const char *job,
                 struct error *error)
{
    if (job && apply_job(options, rules, job, error) < 0)
        return -1;
    CLEANUP_FREE char *path = memory_format("%s/vmshadow.conf", config_directory());
    struct error fault = ERROR_INIT;
    if (apply_file(options, rules, path, false, NULL, &fault) == 0 || fault.kind == ERROR_NOT_FOUND)
        return 0;
    error_move(error, &fault);
    return -1;
}

void config_rescue(struct options *options, const struct option_rule *rules, config_tell *tell)
{
    CLEANUP_FREE char *path = memory_format("%s/vmshadow.conf", config_directory());
    struct error fault = ERROR_INIT;
    if (apply_file(options, rules, path, false, tell, &fault) < 0 && fault.kind != ERROR_NOT_FOUND)
        tell(&fault);
    error_clear(&fault);
}

/* ---- Jobs ---------------------------------------------------------------------------------- */

static int by_name(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

json_t *config_jobs(void)
{
    CLEANUP_FREE char *path = memory_format("%s/jobs.d", config_directory());
    DIR *directory = opendir(path);
    char **names = NULL;
    size_t count = 0;
    for (struct dirent *entry; directory && count < JOBS_LIMIT && (entry = readdir(directory));) {
        const char *dot = strrchr(entry->d_name, '.');
        if (!dot || strcmp(dot, ".conf") != 0)
            continue;
        char *name = memory_format("%.*s", (int)(dot - entry->d_name), entry->d_name);
        if (config_check_job(name, NULL) == 0)
            ARRAY_APPEND(names, count, name);
        else
            free(name);
    }
    if (directory)
        (void)closedir(directory);
    if (count)
        qsort(names, count, sizeof *names, by_name);
    json_t *jobs = json_array();
    for (size_t i = 0; i < count; i++) {
        json_append_string(jobs, names[i]);
        free(names[i]);
    }
    free(names);
    return jobs;
}
