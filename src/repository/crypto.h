/* Crypto: the keys of one repository and the three things that are done with them: derive, name
 * (MAC), seal. Documents: docs/format/keys.md and README.md ("Sealing").
 *
 * OpenSSL's functions used here fail only on exhausted memory or misuse; either ends the process.
 * What can really be wrong, a tag, is a return value.
 */
#ifndef REPOSITORY_CRYPTO_H
#define REPOSITORY_CRYPTO_H

#include "base/memory.h"
#include "repository/format.h"

#include <openssl/evp.h>
#include <stddef.h>
#include <sys/uio.h>

struct crypto;
/* Copies the master key. */
struct crypto *crypto_new(const uint8_t master[FORMAT_KEY_SIZE],
                          const uint8_t repository[FORMAT_NAME_SIZE]);
void crypto_free(struct crypto *crypto);
DEFINE_CLEANUP(crypto)

/* The master key of a repository without encryption. */
void crypto_open_master(const uint8_t repository[FORMAT_NAME_SIZE], uint8_t key[FORMAT_KEY_SIZE]);

/* Key of a file of one kind ("pack", "index", "backup"); salt NULL = zeroes. */
void crypto_file_key(const struct crypto *crypto, const char *kind, const struct file_name *name,
                     const uint8_t salt[FORMAT_NAME_SIZE], uint8_t key[FORMAT_KEY_SIZE]);
/* HMAC-SHA-256 of the pieces with the key derived for `use` ("header", "wrap"). */
void crypto_text_mac(const struct crypto *crypto, const char *use, const struct iovec *pieces,
                     int count, uint8_t mac[FORMAT_ID_SIZE]);

/* Contexts for one thread at a time. */
struct crypto_context {
    EVP_CIPHER_CTX *cipher;
    EVP_MAC_CTX *id_mac; /* keyed with the id key */
};
void crypto_context_init(struct crypto_context *context, const struct crypto *crypto);
void crypto_context_deinit(struct crypto_context *context);

/* Id of an object: HMAC-SHA-256(id key, type, content). */
void crypto_object_id(struct crypto_context *context, uint8_t type, const void *data, size_t size,
                      uint8_t id[FORMAT_ID_SIZE]);

/* What a sealed piece is bound to. */
struct crypto_place {
    const uint8_t *key;
    uint64_t offset;
    struct iovec associated[3];
    int count;
};
/* out gets size + FORMAT_TAG_SIZE bytes. */
void crypto_seal(struct crypto_context *context, const struct crypto_place *place,
                 const void *plain, size_t size, uint8_t *out);
/* `size` includes the tag; `out` (may be `sealed`) gets size - FORMAT_TAG_SIZE bytes, which mean
 * nothing unless it returns 0. -1: the tag is wrong. */
int crypto_open(struct crypto_context *context, const struct crypto_place *place,
                const uint8_t *sealed, size_t size, uint8_t *out);

/* AES-256-GCM of a master key with a wrapping key: `wrapped` = nonce, ciphertext, tag. */
enum { crypto_wrapped_size = FORMAT_NONCE_SIZE + FORMAT_KEY_SIZE + FORMAT_TAG_SIZE };
void crypto_wrap(const uint8_t wrapping[FORMAT_KEY_SIZE], const char *associated,
                 const uint8_t master[FORMAT_KEY_SIZE], uint8_t wrapped[crypto_wrapped_size]);
/* -1: not this wrapping key, or damaged. */
int crypto_unwrap(const uint8_t wrapping[FORMAT_KEY_SIZE], const char *associated,
                  const uint8_t wrapped[crypto_wrapped_size], uint8_t master[FORMAT_KEY_SIZE]);
/* scrypt; -1: OpenSSL refuses the parameters or there is no memory for them. */
int crypto_scrypt(const char *passphrase, const uint8_t *salt, size_t salt_size, uint64_t n,
                  uint32_t r, uint32_t p, uint8_t key[FORMAT_KEY_SIZE]);
void crypto_random(void *bytes, size_t size);

#endif
