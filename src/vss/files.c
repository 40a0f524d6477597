/* A walk over directories with lstat semantics. The matcher keeps one point of return (the last
 * star), so a hostile pattern costs at most length times length. */
#include "vss/files.h"

#include "vss/failure.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

enum { depth_limit = 64, count_limit = 1000000 };

/* The start of the character after the one at `text`. */
static const char *next_character(const char *text)
{
    text++;
    while (((unsigned char)*text & 0xC0) == 0x80)
        text++;
    return text;
}

bool files_match(const char *pattern, const char *name)
{
    const char *star = NULL, *retry = NULL;
    while (*name) {
        if (*pattern == '*') {
            star = ++pattern;
            retry = name;
        } else if (*pattern == '?') {
            pattern++;
            name = next_character(name);
        } else if (*pattern == *name) {
            pattern++;
            name++;
        } else if (star) {
            pattern = star;
            name = retry = next_character(retry);
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

static char *join(const char *directory, const char *name)
{
    size_t length = strlen(directory);
    bool slash = length > 0 && directory[length - 1] == '/';
    return memory_format("%s%s%s", directory, slash ? "" : "/", name);
}

/* Is the directory `path` the one the rule names, or below it where the rule is recursive? */
static bool in_directory(const struct metadata_file *rule, const char *directory)
{
    size_t length = strlen(rule->path);
    while (length > 1 && rule->path[length - 1] == '/')
        length--;
    if (strncmp(directory, rule->path, length) != 0)
        return false;
    return directory[length] == '\0' ||
           (rule->recursive && (directory[length] == '/' || length == 1));
}

static bool is_excluded(const struct metadata *metadata, const char *directory, const char *name)
{
    for (size_t i = 0; i < metadata->exclude_count; i++)
        if (in_directory(&metadata->excludes[i], directory) &&
            files_match(metadata->excludes[i].filespec, name))
            return true;
    return false;
}

struct walk {
    const char *root;
    const struct metadata *metadata;
    const struct metadata_file *rule;
    struct files *files;
    size_t matched; /* by this rule, before the exclude list */
};

static int found(struct walk *walk, const char *directory, const char *source_directory,
                 const char *name, struct error *error)
{
    walk->matched++;
    if (is_excluded(walk->metadata, directory, name))
        return 0;
    if (walk->files->count == count_limit)
        return error_set(error, ERROR_FAILED, "more than %d files match %s in %s", count_limit,
                         walk->rule->filespec, walk->rule->path);
    struct files_entry entry = {.path = join(directory, name),
                                .source = join(source_directory, name)};
    ARRAY_APPEND(walk->files->entries, walk->files->count, entry);
    return 0;
}

static int visit(struct walk *walk, const char *directory, const char *source, unsigned depth,
                 struct error *error);

static int visit_entry(struct walk *walk, int descriptor, const char *directory, const char *source,
                       const char *name, unsigned depth, struct error *error)
{
    struct stat stat;
    if (fstatat(descriptor, name, &stat, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? 0 : error_errno(error, errno, "file %s/%s", source, name);
    if (!S_ISDIR(stat.st_mode))
        return files_match(walk->rule->filespec, name) ? found(walk, directory, source, name, error)
                                                       : 0;
    if (!walk->rule->recursive)
        return 0;
    if (depth == depth_limit)
        return error_set(error, ERROR_FAILED, "%s is nested deeper than %d", directory,
                         depth_limit);
    CLEANUP_FREE char *below = join(directory, name);
    CLEANUP_FREE char *source_below = join(source, name);
    return visit(walk, below, source_below, depth + 1, error);
}

static int visit(struct walk *walk, const char *directory, const char *source, unsigned depth,
                 struct error *error)
{
    DIR *stream = opendir(source);
    if (!stream) /* a missing directory holds no files; a literal name is missed later */
        return errno == ENOENT || errno == ENOTDIR
                   ? 0
                   : error_errno(error, errno, "directory %s", source);
    int result = 0;
    struct dirent *entry;
    while (result == 0 && (errno = 0, entry = readdir(stream)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            result =
                visit_entry(walk, dirfd(stream), directory, source, entry->d_name, depth, error);
    if (result == 0 && errno != 0)
        result = error_errno(error, errno, "directory %s", source);
    (void)closedir(stream);
    return result;
}

static int evaluate_rule(struct walk *walk, const struct metadata_component *component,
                         struct error *error)
{
    const struct metadata_file *rule = walk->rule;
    const char *place =
        rule->alternate_path && *rule->alternate_path ? rule->alternate_path : rule->path;
    CLEANUP_FREE char *source = memory_format("%s%s", walk->root, place);
    if (visit(walk, rule->path, source, 0, error) != 0)
        return error_prefix(error, "component %s: ", component->name);
    if (walk->matched == 0 && !strpbrk(rule->filespec, "*?")) {
        (void)failure_set(error, VSS_E_OBJECT_NOT_FOUND, "component %s: file %s/%s is missing",
                          component->name, place, rule->filespec);
        return -1;
    }
    return 0;
}

static void clear_entry(struct files_entry *entry)
{
    free(entry->path);
    free(entry->source);
}

static int compare_entries(const void *left, const void *right)
{
    const struct files_entry *a = left, *b = right;
    return strcmp(a->path, b->path);
}

/* Two rules may match the same file. */
static void sort_without_duplicates(struct files *files)
{
    if (files->count == 0)
        return;
    qsort(files->entries, files->count, sizeof *files->entries, compare_entries);
    size_t kept = 1;
    for (size_t i = 1; i < files->count; i++) {
        if (compare_entries(&files->entries[kept - 1], &files->entries[i]) == 0)
            clear_entry(&files->entries[i]);
        else
            files->entries[kept++] = files->entries[i];
    }
    files->count = kept;
}

int files_evaluate(const char *root, const struct metadata *metadata,
                   const struct metadata_component *component, struct files **ret_files,
                   struct error *error)
{
    CLEANUP(files_freep) struct files *files = NEW(struct files);
    for (size_t i = 0; i < component->file_count; i++) {
        struct walk walk = {
            .root = root, .metadata = metadata, .rule = &component->files[i], .files = files};
        if (evaluate_rule(&walk, component, error) != 0)
            return -1;
    }
    sort_without_duplicates(files);
    *ret_files = TAKE_PTR(files);
    return 0;
}

void files_free(struct files *files)
{
    if (!files)
        return;
    for (size_t i = 0; i < files->count; i++)
        clear_entry(&files->entries[i]);
    free(files->entries);
    free(files);
}
