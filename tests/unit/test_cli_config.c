/* cli: configuration files: what counts, where it comes from, and each kind of wrong value with its
 * file and line. */
#include "base/memory.h"
#include "cli/config.h"
#include "cli/job.h"
#include "cli/verb.h"

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static char directory[] = "/tmp/test_cli_config.XXXXXX";

static char *path_of(const char *name)
{
    return memory_format("%s/%s", directory, name);
}

static void write_bytes(const char *name, const char *text, size_t size)
{
    CLEANUP_FREE char *path = path_of(name);
    (void)unlink(path);
    CLEANUP_CLOSE int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    assert_int_equal(write(file, text, size), size);
}

static void write_file(const char *name, const char *text)
{
    write_bytes(name, text, strlen(text));
}

static char *read_file(const char *path)
{
    CLEANUP_FILE FILE *file = fopen(path, "re");
    assert_non_null(file);
    char text[4096];
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    return memory_copy_string(text);
}

static int set_up(void **state)
{
    (void)state;
    (void)unsetenv("VMSHADOW_REPO");
    (void)unsetenv("VMSHADOW_PASSPHRASE_FILE");
    (void)unsetenv("LIBVIRT_DEFAULT_URI");
    if (!mkdtemp(directory) || setenv("VMSHADOW_CONFIG_DIR", directory, 1) != 0)
        return -1;
    CLEANUP_FREE char *jobs = path_of("jobs.d");
    return mkdir(jobs, 0700);
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status;
    (void)kind;
    (void)walk;
    return remove(path);
}

static int tear_down(void **state)
{
    (void)state;
    return nftw(directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static int no_files(void **state)
{
    (void)state;
    write_file("vmshadow.conf", "");
    write_file("jobs.d/nightly.conf", "");
    return 0;
}

/* A run of job `nightly`, with these words after it. */
static int read_job(struct job_options *options, struct error *error, const char *const *words)
{
    int count = 0;
    while (words[count])
        count++;
    *options = (struct job_options){.separate = false};
    *error = ERROR_INIT;
    struct options *common = &options->backup.common;
    if (options_parse(common, verb_run.options, 1, 1, count, (char *const *)words, error) < 0)
        return -1;
    return config_apply(common, verb_run.options, "nightly", error);
}
#define READ_JOB(...)                                                                              \
    read_job(&options, &error, (const char *const[]){"run", "nightly", ##__VA_ARGS__, NULL})

static void the_stronger_place_wins(void **state)
{
    (void)state;
    struct job_options options;
    struct error error;
    write_file("vmshadow.conf", "# a comment\n; another\n\nrepo = /conf\nworkers = 3\r\n"
                                "freeze-limit = 20s\nhold-limit = 5s\nhold-stopped = yes\n"
                                "scratch=/scratch = x\nconnect: qemu:///session");
    write_file("jobs.d/nightly.conf", "workers = 4\nfreeze-limit = 30s\nhold-stopped = no\n");
    assert_int_equal(setenv("VMSHADOW_REPO", "/environment", 1), 0);
    assert_int_equal(READ_JOB("--workers", "5"), 0);
    (void)unsetenv("VMSHADOW_REPO");
    const struct backup_options *backup = &options.backup;
    assert_int_equal(backup->backup.workers, 5);
    assert_int_equal(backup->backup.freeze_limit, INT64_C(30000000000));
    assert_int_equal(backup->backup.hold_limit, INT64_C(5000000000));
    assert_false(backup->backup.hold_stopped);
    assert_string_equal(backup->common.repository, "/environment");
    assert_string_equal(backup->backup.scratch_directory, "/scratch = x");
    assert_string_equal(backup->common.connect, "qemu:///session");
    options_clear(&options.backup.common);
}

static void the_command_line_takes_back_what_a_file_sets(void **state)
{
    (void)state;
    struct job_options options;
    struct error error;
    write_file("vmshadow.conf", "refuse-saved-state = yes\nhold-stopped = yes\n");
    write_file("jobs.d/nightly.conf", "all = yes\nseparate = yes\nno-auto-recovery = yes\n");
    assert_int_equal(READ_JOB("--refuse-saved-state=no", "--all=no", "--vm=web1", "--separate=no",
                              "--no-auto-recovery=no"),
                     0);
    const struct requester_backup_options *backup = &options.backup.backup;
    assert_false(backup->refuse_saved_state || backup->selection.all || backup->no_auto_recovery);
    assert_false(options.separate);
    assert_true(backup->hold_stopped);
    assert_int_equal(job_check_selection(&options.backup.common, &error), 0);
    options_clear(&options.backup.common);
}

static const char *where_of(const struct options *options, const char *name)
{
    for (size_t i = 0; i < options->value_count; i++)
        if (strcmp(options->values[i].rule->name, name) == 0)
            return options->values[i].where;
    return "default";
}

static void each_value_knows_its_place(void **state)
{
    (void)state;
    struct job_options options;
    struct error error;
    write_file("vmshadow.conf", "repo = /conf\ndefault-location = /vms\n");
    write_file("jobs.d/nightly.conf", "\nworkers = 4\n");
    assert_int_equal(setenv("VMSHADOW_PASSPHRASE_FILE", "/secret", 1), 0);
    assert_int_equal(READ_JOB("--type=full"), 0);
    (void)unsetenv("VMSHADOW_PASSPHRASE_FILE");
    struct options *common = &options.backup.common;
    CLEANUP_FREE char *conf = memory_format("%s/vmshadow.conf:1", directory);
    CLEANUP_FREE char *job = memory_format("%s/jobs.d/nightly.conf:2", directory);
    assert_string_equal(where_of(common, "repo"), conf);
    assert_string_equal(where_of(common, "workers"), job);
    assert_string_equal(where_of(common, "passphrase-file"),
                        "environment VMSHADOW_PASSPHRASE_FILE");
    assert_string_equal(where_of(common, "type"), "command line");
    assert_string_equal(where_of(common, "scratch"), "default");
    options_clear(common);
}

static void a_job_turns_off_what_holds_for_all(void **state)
{
    (void)state;
    struct job_options options;
    struct error error;
    write_file("vmshadow.conf", "keep-last = 3\nkeep-yearly = 9\non-success = a\non-failure = b\n"
                                "metrics-directory = /m\n");
    write_file("jobs.d/nightly.conf", "keep-last = 0\nkeep-yearly = 0\non-success =\n"
                                      "on-failure =\nmetrics-directory =\n");
    assert_int_equal(READ_JOB(), 0);
    assert_true(retention_is_off(&options.retention));
    assert_null(options.on_success);
    assert_null(options.on_failure);
    assert_null(options.metrics_directory);
    options_clear(&options.backup.common);
}

static int check_selection(const char *text, struct error *error)
{
    struct options options = {.json = false};
    const char *const words[] = {"config", "nightly", NULL};
    write_file("jobs.d/nightly.conf", text);
    *error = ERROR_INIT;
    assert_int_equal(
        options_parse(&options, verb_config.options, 0, 1, 2, (char *const *)words, error), 0);
    assert_int_equal(config_apply(&options, verb_config.options, "nightly", error), 0);
    json_t *result = NULL;
    int outcome = verb_config.run(&options, &result, error);
    assert_non_null(result);
    json_decref(result);
    options_clear(&options);
    return outcome;
}

static void a_job_says_which_vms_it_means(void **state)
{
    (void)state;
    struct error error;
    CLEANUP_FREE char *both = memory_format("job nightly: all (%s/jobs.d/nightly.conf:2) excludes "
                                            "vm and tag (%s/jobs.d/nightly.conf:1)",
                                            directory, directory);
    assert_int_equal(check_selection("vm = a\nall = yes\n", &error), -1);
    assert_int_equal(error.kind, ERROR_USAGE);
    assert_string_equal(error.message, both);
    assert_int_equal(check_selection("tag = a\nall = yes\n", &error), -1);
    assert_string_equal(error.message, both);
    assert_int_equal(check_selection("all = no\n", &error), -1);
    assert_string_equal(error_id(&error), "job-without-vms");
    assert_non_null(strstr(error.message, "/jobs.d/nightly.conf"));
    assert_int_equal(check_selection("all = yes\n", &error), 0);
    assert_int_equal(check_selection("all = no\nvm = a\n", &error), 0);
    assert_int_equal(check_selection("tag = a\n", &error), 0);
}

static size_t told;
static char last_told[2048];

static void tell(const struct error *error)
{
    told++;
    (void)snprintf(last_told, sizeof last_told, "%s", error->message);
}

static void a_rescue_passes_wrong_lines_over(void **state)
{
    (void)state;
    struct options options = {.json = false};
    static const char *const lines[] = {"workerz = 3",      "workers = x", "[section]",
                                        "  blanks = first", "= value",     "just words"};
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        CLEANUP_FREE char *text = memory_format("repo = /r\n%s\nconnect = test:///x\n", lines[i]);
        CLEANUP_FREE char *place = memory_format("%s/vmshadow.conf:2: ", directory);
        write_file("vmshadow.conf", text);
        told = 0;
        config_rescue(&options, verb_recover.options, tell);
        assert_int_equal(told, 1);
        assert_non_null(strstr(last_told, place));
        assert_non_null(options.connect);
        assert_string_equal(options.connect, "test:///x");
        options_clear(&options);
        options = (struct options){.json = false};
    }
    write_file("vmshadow.conf", "[s]\nworkerz = 1\nrepo = r\nconnect = test:///x\n");
    told = 0;
    config_rescue(&options, verb_recover.options, tell);
    assert_int_equal(told, 3);
    assert_string_equal(options.connect, "test:///x");
    options_clear(&options);
    options = (struct options){.json = false};
    CLEANUP_FREE char *path = path_of("vmshadow.conf");
    assert_int_equal(chmod(path, 0666), 0);
    told = 0;
    config_rescue(&options, verb_recover.options, tell);
    assert_int_equal(told, 1);
    assert_null(options.connect);
    assert_int_equal(unlink(path), 0);
    config_rescue(&options, verb_recover.options, tell);
    assert_int_equal(told, 1);
    options_clear(&options);
}

static void a_job_that_cannot_be_read_is_there(void **state)
{
    (void)state;
    struct job_options options;
    struct error error;
    CLEANUP_FREE char *path = path_of("jobs.d/nightly.conf");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("nightly.conf", path), 0); /* to itself */
    assert_int_equal(READ_JOB(), -1);
    assert_non_null(strstr(error.message, "cannot read"));
    options_clear(&options.backup.common);
}

static void a_run_that_is_refused_is_seen_in_the_figures(void **state)
{
    (void)state;
    struct job_options options;
    struct error error;
    CLEANUP_FREE char *conf =
        memory_format("metrics-directory = %s\non-failure = touch %s/ran\n", directory, directory);
    CLEANUP_FREE char *figures = path_of("vmshadow_nightly.prom");
    CLEANUP_FREE char *ran = path_of("ran");
    write_file("vmshadow.conf", conf);
    write_file("jobs.d/nightly.conf", "vm = a\nworkerz = 3\n");
    assert_int_equal(READ_JOB(), -1);
    verb_run.refused(&options.backup.common, &error);
    CLEANUP_FREE char *text = read_file(figures);
    assert_non_null(strstr(text, "vmshadow_job_success{job=\"nightly\"} 0\n"));
    assert_int_equal(access(ran, F_OK), -1);
    options_clear(&options.backup.common);
}

static void a_run_that_was_killed_is_told_as_failed(void **state)
{
    (void)state;
    struct job_options options;
    struct error error;
    CLEANUP_JSON json_t *report = NULL;
    CLEANUP_FREE char *job = memory_format("vm = a\non-failure = cat >%s/failed\n"
                                           "on-success = touch %s/good\nmetrics-directory = %s\n",
                                           directory, directory, directory);
    CLEANUP_FREE char *failed = path_of("failed");
    CLEANUP_FREE char *good = path_of("good");
    CLEANUP_FREE char *figures = path_of("vmshadow_nightly.prom");
    (void)unlink(figures);
    write_file("jobs.d/nightly.conf", job);
    static const char *const others[] = {"success", "exit-code", "no-such-word"};
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        assert_int_equal(READ_JOB("--ended", others[i]), 0);
        assert_int_equal(verb_run.run(&options.backup.common, &report, &error), 0);
        assert_null(report);
        assert_int_equal(access(figures, F_OK), -1);
        options_clear(&options.backup.common);
    }
    assert_int_equal(READ_JOB("--ended=oom-kill"), 0);
    assert_int_equal(verb_run.run(&options.backup.common, &report, &error), 0);
    assert_string_equal(json_string_or(report, "result", ""), "failure");
    assert_string_equal(json_string_or(json_object_get(report, "error"), "id", ""), "run-killed");
    CLEANUP_FREE char *text = read_file(failed);
    assert_non_null(strstr(text, "FAILED: job nightly: the run was ended"));
    CLEANUP_FREE char *values = read_file(figures);
    assert_non_null(strstr(values, "vmshadow_job_success{job=\"nightly\"} 0\n"));
    assert_int_equal(access(good, F_OK), -1);
    options_clear(&options.backup.common);
}

/* Who edits the file while a run goes well has not made it fail. */
static void after_a_good_run_a_wrong_file_is_no_failure(void **state)
{
    (void)state;
    struct job_options options;
    struct error error;
    CLEANUP_FREE char *conf = memory_format("metrics-directory = %s\n", directory);
    CLEANUP_FREE char *figures = path_of("vmshadow_nightly.prom");
    write_file("vmshadow.conf", conf);
    write_file("jobs.d/nightly.conf", "vm = a\nworkerz = 3\n");
    static const char *const words[] = {"success", "signal"};
    for (int i = 0; i < 2; i++) {
        (void)unlink(figures);
        assert_int_equal(READ_JOB("--ended", words[i]), -1);
        verb_run.refused(&options.backup.common, &error);
        assert_int_equal(access(figures, F_OK), i ? 0 : -1);
        options_clear(&options.backup.common);
    }
}

static void lists_add_up(void **state)
{
    (void)state;
    struct job_options options;
    struct error error;
    write_file("vmshadow.conf", "exclude-disk = db1:vdc\nexclude-vm = test-*\n"
                                "snapshot-location = a=/conf\n");
    write_file("jobs.d/nightly.conf", "vm = web1\nvm = a 'name' & more\ntag = nightly\n"
                                      "exclude-disk = d:b*:vdb\nsnapshot-location = a=/job\n");
    assert_int_equal(READ_JOB("--exclude-vm", "old"), 0);
    const struct options *common = &options.backup.common;
    assert_int_equal(options.vms.count, 2);
    assert_string_equal(options.vms.items[1], "a 'name' & more");
    assert_int_equal(options.tags.count, 1);
    assert_int_equal(common->exclude_disks.count, 2);
    assert_string_equal(common->exclude_disks.items[0], "d:b*:vdb");
    assert_int_equal(common->exclude_vms.count, 2);
    assert_string_equal(common->exclude_vms.items[0], "old");
    assert_int_equal(common->location_count, 2);
    assert_string_equal(common->locations[0].directory, "/job");
    assert_true(common->locations[0].optional);
    options_clear(&options.backup.common);
}

/* File, text, what is said after "FILE:". */
static const char *const wrong[][3] = {
    {"vmshadow.conf", "workerz = 3", "1: there is no key 'workerz'"},
    {"vmshadow.conf", "\n# x\nworkers = many", "3: workers: 'many' is not a number"},
    {"vmshadow.conf", "workers = 0", "1: workers: 0 is too small"},
    {"vmshadow.conf", "workers = 5000", "1: workers: 5000 is too large"},
    {"vmshadow.conf", "workers = ", "1: workers: '' is not a number"},
    {"vmshadow.conf", "repo = backup", "1: repo: 'backup' does not begin with a slash"},
    {"vmshadow.conf", "repo = ", "1: repo: DIR is empty"},
    {"vmshadow.conf", "scratch-reserve = 4GB",
     "1: scratch-reserve: '4GB' is not a size: write bytes, or a number with KiB, MiB, GiB or TiB"},
    {"vmshadow.conf", "hold-limit = soon",
     "1: hold-limit: 'soon' is not a duration: write seconds, or a number with ms, s, min or h"},
    {"vmshadow.conf", "hold-stopped = maybe", "1: hold-stopped: 'maybe' is neither yes nor no"},
    {"vmshadow.conf", "type = log", "1: type: 'log' is none of copy|full"},
    {"vmshadow.conf", "exclude-disk = db1", "1: exclude-disk: 'db1' is not VM:TARGET"},
    {"vmshadow.conf", "exclude-disk = db1:", "1: exclude-disk: 'db1:' is not VM:TARGET"},
    {"vmshadow.conf", "exclude-vm = ", "1: exclude-vm: VM is empty"},
    {"vmshadow.conf", "snapshot-location = web[12]=/srv",
     "1: snapshot-location: 'web[12]=/srv' names a VM by a pattern; a location is one VM's "
     "(its UUID, where its name looks so)"},
    {"vmshadow.conf", "snapshot-location = web1=srv",
     "1: snapshot-location: 'web1=srv' is not VM=DIR with an absolute directory"},
    {"vmshadow.conf", "workers = 1\nrepo = /r\nworkers = 2",
     "3: workers is given on line 1 "
     "already"},
    {"vmshadow.conf", "json = yes", "1: json can be given on the command line only"},
    {"vmshadow.conf", "socket = 3", "1: there is no key 'socket'"},
    {"vmshadow.conf", "vm = web1", "1: vm chooses VMs, and belongs into the file of a job"},
    {"vmshadow.conf", "all = yes", "1: all chooses VMs, and belongs into the file of a job"},
    {"vmshadow.conf", "default-location = vms",
     "1: default-location: 'vms' does not begin with a slash"},
    {"vmshadow.conf", "just words", "1: this is no line of the form KEY = VALUE"},
    {"vmshadow.conf", "repo = /r\n= value", "2: the key is missing: write KEY = VALUE"},
    {"vmshadow.conf", "[section]\nrepo = /r", "1: there are no sections: write KEY = VALUE"},
    {"vmshadow.conf", "repo = /r\n  more", "2: a line begins with its key, not with blanks"},
    {"vmshadow.conf", "repo = /r ; the best",
     "1: a semicolon after a blank would begin a comment: put comments on lines of their own, and "
     "such commands into a script"},
    {"jobs.d/nightly.conf", "separate = 1", "1: separate: '1' is neither yes nor no"},
    {"jobs.d/nightly.conf", "default-location = /vms",
     "1: default-location is not about a job: it belongs into vmshadow.conf"},
    {"jobs.d/nightly.conf", "events = /e", "1: events can be given on the command line only"},
    {"jobs.d/nightly.conf", "wait-limit = 0", "1: wait-limit: 0 is too small"},
};

static void wrong_lines_are_named(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        struct job_options options;
        struct error error;
        (void)no_files(state);
        write_file(wrong[i][0], wrong[i][1]);
        CLEANUP_FREE char *message = memory_format("%s/%s:%s", directory, wrong[i][0], wrong[i][2]);
        assert_int_equal(READ_JOB(), -1);
        assert_string_equal(error.message, message);
        assert_int_equal(error.kind, ERROR_USAGE);
        assert_true(error.hint[0]);
        options_clear(&options.backup.common);
    }
}

/* A value that a stronger place makes useless is as wrong as any other. */
static void unused_values_are_checked_too(void **state)
{
    (void)state;
    struct job_options options;
    struct error error;
    write_file("vmshadow.conf", "workers = x\n");
    assert_int_equal(READ_JOB("--workers=2"), -1);
    assert_non_null(strstr(error.message, "vmshadow.conf:1: workers"));
    options_clear(&options.backup.common);
}

static void the_nearest_key_is_named(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"workerz = 1", "did you mean workers?"},
        {"passphrase_file = /x", "did you mean passphrase-file?"},
        {"exclude-disks = a:b", "did you mean exclude-disk?"},
        {"colour = red", "vmshadow config lists the keys, vmshadow.conf(5) describes them"},
        {"a-key-that-is-very-long-and-is-like-no-other-one-that-there-is-at-all-anywhere = 1",
         "vmshadow config lists the keys, vmshadow.conf(5) describes them"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct job_options options;
        struct error error;
        write_file("vmshadow.conf", cases[i][0]);
        assert_int_equal(READ_JOB(), -1);
        assert_string_equal(error.hint, cases[i][1]);
        options_clear(&options.backup.common);
    }
}

static void bounds_are_kept(void **state)
{
    struct job_options options;
    struct error error;
    char line[300] = "scratch = /";
    memset(line + strlen(line), 'x', 190 - strlen(line));
    line[190] = '\0';
    write_file("vmshadow.conf", line);
    assert_int_equal(READ_JOB(), 0);
    assert_int_equal(strlen(options.backup.backup.scratch_directory), 180);
    options_clear(&options.backup.common);
    memcpy(line + 190, "x", 2);
    write_file("vmshadow.conf", line);
    assert_int_equal(READ_JOB(), -1);
    assert_non_null(strstr(error.message, ":1: the line is longer than 190 bytes"));
    options_clear(&options.backup.common);
    write_bytes("vmshadow.conf", "repo = /a\0b\n", 12);
    assert_int_equal(READ_JOB(), -1);
    assert_non_null(strstr(error.message, ":1: there is a zero byte in the line"));
    options_clear(&options.backup.common);
    write_file("vmshadow.conf", "# f\xfcr alle\n");
    write_file("jobs.d/nightly.conf", "vm = gr\xc3\xbcn\nvm = gr\xfcn\n");
    assert_int_equal(READ_JOB(), -1);
    assert_non_null(strstr(error.message, "/jobs.d/nightly.conf:2: the line is not UTF-8"));
    options_clear(&options.backup.common);
    (void)no_files(state);
    CLEANUP_FREE char *path = path_of("vmshadow.conf");
    assert_int_equal(truncate(path, (1 << 20) + 1), 0);
    assert_int_equal(READ_JOB(), -1);
    assert_non_null(strstr(error.message, "is larger than"));
    options_clear(&options.backup.common);
}

static void files_of_others_are_not_read(void **state)
{
    (void)state;
    struct job_options options;
    struct error error;
    CLEANUP_FREE char *path = path_of("vmshadow.conf");
    static const mode_t modes[] = {0620, 0602, 0666};
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        assert_int_equal(chmod(path, modes[i]), 0);
        assert_int_equal(READ_JOB(), -1);
        assert_int_equal(error.kind, ERROR_REFUSED);
        assert_non_null(strstr(error.message, "others than its owner can write it"));
        options_clear(&options.backup.common);
    }
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(READ_JOB(), 0);
    options_clear(&options.backup.common);
    if (geteuid() == 0) {
        assert_int_equal(chown(path, 65534, (gid_t)-1), 0);
        assert_int_equal(READ_JOB(), -1);
        assert_non_null(strstr(error.message, "belongs to user 65534"));
        options_clear(&options.backup.common);
    }
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(READ_JOB(), -1);
    assert_non_null(strstr(error.message, "is no regular file"));
    options_clear(&options.backup.common);
}

static void a_job_is_a_plain_name_with_a_file(void **state)
{
    (void)state;
    struct error error = ERROR_INIT;
    static const char *const good[] = {"nightly", "a", "vm_1.b@c-d", "_x", "9"};
    static const char *const bad[] = {"", ".", "../x", "a/b", "-a", "a b", ".hidden", "ü", "a\n"};
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        assert_int_equal(config_check_job(good[i], &error), 0);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(config_check_job(bad[i], NULL), -1);
    struct options options = {.json = false};
    assert_int_equal(config_apply(&options, verb_run.options, "weekly", &error), -1);
    assert_int_equal(error.kind, ERROR_NOT_FOUND);
    assert_non_null(strstr(error.message, "there is no job weekly"));
    options_clear(&options);
    write_file("jobs.d/a.conf", "");
    write_file("jobs.d/readme", "");
    CLEANUP_JSON json_t *jobs = config_jobs();
    assert_int_equal(json_array_size(jobs), 2);
    assert_string_equal(json_string_value(json_array_get(jobs, 0)), "a");
    assert_string_equal(json_string_value(json_array_get(jobs, 1)), "nightly");
}

static void without_files_the_defaults_hold(void **state)
{
    (void)state;
    struct options options = {.json = false};
    struct error error = ERROR_INIT;
    CLEANUP_FREE char *path = path_of("vmshadow.conf");
    (void)unlink(path);
    assert_int_equal(config_apply(&options, verb_list.options, NULL, &error), 0);
    assert_int_equal(options.value_count, 0);
    options_clear(&options);
}

#define TEST(function) cmocka_unit_test_setup(function, no_files)
int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_stronger_place_wins),
        TEST(the_command_line_takes_back_what_a_file_sets),
        TEST(each_value_knows_its_place),
        TEST(a_job_turns_off_what_holds_for_all),
        TEST(a_job_says_which_vms_it_means),
        TEST(a_rescue_passes_wrong_lines_over),
        TEST(a_job_that_cannot_be_read_is_there),
        TEST(a_run_that_is_refused_is_seen_in_the_figures),
        TEST(a_run_that_was_killed_is_told_as_failed),
        TEST(after_a_good_run_a_wrong_file_is_no_failure),
        TEST(lists_add_up),
        TEST(wrong_lines_are_named),
        TEST(unused_values_are_checked_too),
        TEST(the_nearest_key_is_named),
        TEST(bounds_are_kept),
        TEST(files_of_others_are_not_read),
        TEST(a_job_is_a_plain_name_with_a_file),
        TEST(without_files_the_defaults_hold),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
