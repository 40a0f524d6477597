/* Wrap: one file in keys/, the master key under a passphrase. Document: docs/format/keys.md.
 */
#ifndef REPOSITORY_WRAP_H
#define REPOSITORY_WRAP_H

#include "repository/identity.h"

struct wrap_result {
    unsigned tried;  /* wraps of this repository that could be read */
    unsigned opened; /* of them, opened by the passphrase */
};

/* Open the master key with any wrap whose key also fits the MAC of `text`. 1 found, 0 not (see
 * ret_result), -1 the storage failed. */
int wrap_open_any(struct backend *backend, const struct identity *identity, const char *text,
                  const char *passphrase, uint8_t master[FORMAT_KEY_SIZE],
                  struct wrap_result *ret_result, struct error *error);
/* Put a new wrap of `master`. log2_n 0 = default. */
int wrap_add(struct backend *backend, const struct identity *identity, const struct crypto *crypto,
             const uint8_t master[FORMAT_KEY_SIZE], const char *passphrase, unsigned log2_n,
             struct error *error);
/* Check a wrap ("keys/...") without its passphrase, by its MAC. ERROR_DAMAGED. */
int wrap_check(struct backend *backend, const struct identity *identity,
               const struct crypto *crypto, const char *path, struct error *error);

#endif
