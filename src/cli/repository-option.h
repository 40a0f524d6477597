/* --repo: from a directory and a passphrase to an open repository. */
#ifndef CLI_REPOSITORY_OPTION_H
#define CLI_REPOSITORY_OPTION_H

#include "cli/options.h"
#include "repository/repository.h"

/* Asks for the passphrase only when the repository needs one. Errors as repository_open(), and
 * ERROR_USAGE when no repository is named. */
int repository_option_open(const struct options *options, struct repository **ret_repository,
                           struct error *error);
/* Make the directory where needed and a repository in it. */
int repository_option_create(const struct options *options, uint32_t chunk_size, bool encrypted,
                             struct repository **ret_repository, struct error *error);

#endif
