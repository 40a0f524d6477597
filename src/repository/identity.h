/* Identity: `vmshadow-repository`, and unlocking what it describes.
 * Document: docs/format/keys.md. The wraps themselves are in wrap.h.
 */
#ifndef REPOSITORY_IDENTITY_H
#define REPOSITORY_IDENTITY_H

#include "repository/backend.h"
#include "repository/crypto.h"
#include "repository/name.h"
#include "repository/repository.h"

struct identity {
    struct id id;
    struct file_name repository; /* the id's 16 bytes */
    uint32_t chunk_size;
    bool encrypted;
};

/* Read and check the text, without its MAC. ERROR_NOT_FOUND, ERROR_DAMAGED, ERROR_REFUSED (a
 * version of the future). ret_text (may be NULL) is for identity_check(), to be freed. */
int identity_read(struct backend *backend, struct identity *ret_identity, char **ret_text,
                  struct error *error);
/* 0 when the text's MAC is that of this master key. */
int identity_check(const struct crypto *crypto, const char *text);
int identity_write(struct backend *backend, const struct identity *identity,
                   const struct crypto *crypto, struct error *error);

/* The crypto of a repository: by its wraps and the passphrase, or without encryption. Errors as in
 * repository_open(). */
int identity_unlock(struct backend *backend, const struct identity *identity, const char *text,
                    const char *passphrase, struct crypto **ret_crypto, struct error *error);

/* Cut `text` into exactly `count` lines in place, each ended by a newline; -1 otherwise. */
int identity_split_lines(char *text, size_t size, char **lines, int count);

#endif
