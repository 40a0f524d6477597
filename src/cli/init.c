/* vmshadow init: make a repository. */
#include "base/memory.h"
#include "cli/output.h"
#include "cli/repository-option.h"
#include "cli/values.h"
#include "cli/verb.h"

#include <inttypes.h>

struct init_options {
    struct options common;
    uint64_t chunk_size;
    bool no_encryption;
};

static const struct option_rule rules[] = {
    {"chunk-size", '\0', OPTION_SIZE, "SIZE", offsetof(struct init_options, chunk_size),
     "size of the pieces that disks are cut into and compared by; a power of two from 64KiB to "
     "4MiB; it cannot be changed later",
     NULL, 64 << 10, 4 << 20},
    {"no-encryption", '\0', OPTION_FLAG, NULL, offsetof(struct init_options, no_encryption),
     "store everything readable: whoever can read the directory reads the disks of all VMs and "
     "their secrets, and nobody can tell tampering from the real thing; only damage by accident is "
     "found"},
    {NULL},
};

static int run(const struct options *common, json_t **ret_result, struct error *error)
{
    const struct init_options *options = (const struct init_options *)common;
    if (options->chunk_size & (options->chunk_size - 1))
        return error_set(error, ERROR_USAGE, "--chunk-size: %" PRIu64 " is not a power of two",
                         options->chunk_size);
    CLEANUP(repository_freep) struct repository *repository = NULL;
    if (repository_option_create(common, (uint32_t)options->chunk_size, !options->no_encryption,
                                 &repository, error) < 0)
        return -1;
    json_t *result = json_object();
    json_set_string(result, "repository", repository_id(repository).text);
    json_set_string(result, "directory", common->repository);
    json_set_integer(result, "chunk_size", repository_chunk_size(repository));
    json_set_boolean(result, "encrypted", !options->no_encryption);
    *ret_result = result;
    return 0;
}

static void print(const struct options *options, const json_t *result)
{
    (void)options;
    char size[values_text_size];
    output_line(stdout, "Repository %s in %s", json_string_or(result, "repository", ""),
                json_string_or(result, "directory", ""));
    output_line(stdout, "Chunks of %s, compressed, %s.",
                values_format_size((uint64_t)json_integer_or(result, "chunk_size", 0), size),
                json_boolean_or(result, "encrypted", false)
                    ? "encrypted and authenticated"
                    : "NOT encrypted: whoever reads the directory reads the disks");
    if (json_boolean_or(result, "encrypted", false))
        output_line(stdout, "Keep the passphrase: without it no backup can be restored.");
}

const struct verb verb_init = {
    .name = "init",
    .operands = "",
    .summary = "make a repository",
    .description =
        "Makes a repository in the directory named by --repo. The directory is made when it is not "
        "there; otherwise it must be empty. Everything in it is compressed, encrypted and "
        "authenticated with a key that only the passphrase opens.",
    .options = rules,
    .size = sizeof(struct init_options),
    .run = run,
    .print = print,
};
