#include "cli/repository-option.h"

#include "base/memory.h"
#include "cli/passphrase.h"

#define CLEANUP_PASSPHRASE CLEANUP(passphrase_freep)

/* Before anybody is asked for a passphrase. */
static int check_named(const struct options *options, struct error *error)
{
    if (options->repository)
        return 0;
    (void)error_set(error, ERROR_USAGE, "no repository is named");
    return error_advise(error, "no-repository-named", "give --repo DIR or set VMSHADOW_REPO");
}

int repository_option_open(const struct options *options, struct repository **ret_repository,
                           struct error *error)
{
    CLEANUP(backend_freep) struct backend *backend = NULL;
    CLEANUP_PASSPHRASE char *passphrase = NULL;
    bool encrypted;
    if (check_named(options, error) < 0 ||
        backend_directory_new(io_real(), options->repository, false, &backend, error) < 0 ||
        repository_is_encrypted(backend, &encrypted, error) < 0)
        return -1;
    /* One that was given is always tried: a repository that says by itself that it needs none may
     * have been exchanged. */
    if ((encrypted || options->passphrase_file) &&
        passphrase_get(options->passphrase_file, false, &passphrase, error) < 0)
        return -1;
    if (repository_open(backend, passphrase, ret_repository, error) < 0)
        return -1;
    backend = NULL; /* the repository has taken it */
    return 0;
}

int repository_option_create(const struct options *options, uint32_t chunk_size, bool encrypted,
                             struct repository **ret_repository, struct error *error)
{
    CLEANUP(backend_freep) struct backend *backend = NULL;
    CLEANUP_PASSPHRASE char *passphrase = NULL;
    if (check_named(options, error) < 0 ||
        (encrypted && passphrase_get(options->passphrase_file, true, &passphrase, error) < 0) ||
        backend_directory_new(io_real(), options->repository, true, &backend, error) < 0)
        return -1;
    struct repository_parameters parameters = {.chunk_size = chunk_size, .passphrase = passphrase};
    if (repository_init(backend, &parameters, error) < 0 ||
        repository_open(backend, passphrase, ret_repository, error) < 0)
        return -1;
    backend = NULL;
    return 0;
}
