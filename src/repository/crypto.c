/* OpenSSL's EVP interface, with its algorithms fetched once. */
#include "repository/crypto.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <stdbool.h>
#include <string.h>
#include <sys/random.h>

struct crypto {
    EVP_CIPHER *cipher;
    EVP_MAC *hmac;
    uint8_t master[FORMAT_KEY_SIZE], id_key[FORMAT_KEY_SIZE], repository[FORMAT_NAME_SIZE];
};

static void must(bool good)
{
    if (!good)
        abort(); /* no memory, or wrong use: see the header */
}

static void derive(const uint8_t *key, size_t key_size, const uint8_t *salt, size_t salt_size,
                   const char *info, uint8_t out[FORMAT_KEY_SIZE])
{
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)key, key_size),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)salt, salt_size),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)info, strlen(info)),
        OSSL_PARAM_construct_end(),
    };
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    must(kdf != NULL);
    EVP_KDF_CTX *context = EVP_KDF_CTX_new(kdf);
    must(context && EVP_KDF_derive(context, out, FORMAT_KEY_SIZE, parameters) > 0);
    EVP_KDF_CTX_free(context);
    EVP_KDF_free(kdf);
}

static EVP_MAC_CTX *mac_context(const struct crypto *crypto, const uint8_t key[FORMAT_KEY_SIZE])
{
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_end(),
    };
    EVP_MAC_CTX *context = EVP_MAC_CTX_new(crypto->hmac);
    must(context && EVP_MAC_init(context, key, FORMAT_KEY_SIZE, parameters) == 1);
    return context;
}

struct crypto *crypto_new(const uint8_t master[FORMAT_KEY_SIZE],
                          const uint8_t repository[FORMAT_NAME_SIZE])
{
    struct crypto *crypto = NEW(struct crypto);
    crypto->cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    crypto->hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    must(crypto->cipher && crypto->hmac);
    memcpy(crypto->master, master, FORMAT_KEY_SIZE);
    memcpy(crypto->repository, repository, FORMAT_NAME_SIZE);
    derive(master, FORMAT_KEY_SIZE, repository, FORMAT_NAME_SIZE, "id", crypto->id_key);
    return crypto;
}

void crypto_free(struct crypto *crypto)
{
    if (!crypto)
        return;
    EVP_CIPHER_free(crypto->cipher);
    EVP_MAC_free(crypto->hmac);
    memory_wipe(crypto, sizeof *crypto);
    free(crypto);
}

void crypto_open_master(const uint8_t repository[FORMAT_NAME_SIZE], uint8_t key[FORMAT_KEY_SIZE])
{
    static const char known[] = "vmshadow: no encryption, readable by anybody";
    derive((const uint8_t *)known, sizeof known - 1, repository, FORMAT_NAME_SIZE, "master", key);
}

void crypto_file_key(const struct crypto *crypto, const char *kind, const struct file_name *name,
                     const uint8_t salt[FORMAT_NAME_SIZE], uint8_t key[FORMAT_KEY_SIZE])
{
    uint8_t both[2 * FORMAT_NAME_SIZE] = {0};
    memcpy(both, name->bytes, FORMAT_NAME_SIZE);
    if (salt)
        memcpy(both + FORMAT_NAME_SIZE, salt, FORMAT_NAME_SIZE);
    derive(crypto->master, FORMAT_KEY_SIZE, both, sizeof both, kind, key);
}

void crypto_text_mac(const struct crypto *crypto, const char *use, const struct iovec *pieces,
                     int count, uint8_t mac[FORMAT_ID_SIZE])
{
    uint8_t key[FORMAT_KEY_SIZE];
    derive(crypto->master, FORMAT_KEY_SIZE, crypto->repository, FORMAT_NAME_SIZE, use, key);
    EVP_MAC_CTX *context = mac_context(crypto, key);
    memory_wipe(key, sizeof key);
    for (int i = 0; i < count; i++)
        must(EVP_MAC_update(context, pieces[i].iov_base, pieces[i].iov_len) == 1);
    size_t size;
    must(EVP_MAC_final(context, mac, &size, FORMAT_ID_SIZE) == 1 && size == FORMAT_ID_SIZE);
    EVP_MAC_CTX_free(context);
}

void crypto_context_init(struct crypto_context *context, const struct crypto *crypto)
{
    context->cipher = EVP_CIPHER_CTX_new();
    must(context->cipher &&
         EVP_CipherInit_ex2(context->cipher, crypto->cipher, NULL, NULL, 1, NULL) == 1);
    context->id_mac = mac_context(crypto, crypto->id_key);
}

void crypto_context_deinit(struct crypto_context *context)
{
    EVP_CIPHER_CTX_free(context->cipher);
    EVP_MAC_CTX_free(context->id_mac);
}

void crypto_object_id(struct crypto_context *context, uint8_t type, const void *data, size_t size,
                      uint8_t id[FORMAT_ID_SIZE])
{
    size_t length;
    must(EVP_MAC_init(context->id_mac, NULL, 0, NULL) == 1 &&
         EVP_MAC_update(context->id_mac, &type, 1) == 1 &&
         EVP_MAC_update(context->id_mac, data, size) == 1 &&
         EVP_MAC_final(context->id_mac, id, &length, FORMAT_ID_SIZE) == 1);
}

static void set_nonce(uint8_t nonce[FORMAT_NONCE_SIZE], uint64_t offset)
{
    memset(nonce, 0, FORMAT_NONCE_SIZE);
    bytes_put64(nonce, offset);
}

/* Key, nonce and associated data; then the content is next. */
static void begin(struct crypto_context *context, const struct crypto_place *place, int encrypt)
{
    uint8_t nonce[FORMAT_NONCE_SIZE];
    int used;
    set_nonce(nonce, place->offset);
    must(EVP_CipherInit_ex2(context->cipher, NULL, place->key, nonce, encrypt, NULL) == 1);
    for (int i = 0; i < place->count; i++)
        must(EVP_CipherUpdate(context->cipher, NULL, &used, place->associated[i].iov_base,
                              (int)place->associated[i].iov_len) == 1);
}

void crypto_seal(struct crypto_context *context, const struct crypto_place *place,
                 const void *plain, size_t size, uint8_t *out)
{
    int used = 0;
    begin(context, place, 1);
    must(size <= FORMAT_TAIL_MAX);
    must(!size || EVP_CipherUpdate(context->cipher, out, &used, plain, (int)size) == 1);
    must(EVP_CipherFinal_ex(context->cipher, out + size, &used) == 1 &&
         EVP_CIPHER_CTX_ctrl(context->cipher, EVP_CTRL_AEAD_GET_TAG, FORMAT_TAG_SIZE, out + size) ==
             1);
}

int crypto_open(struct crypto_context *context, const struct crypto_place *place,
                const uint8_t *sealed, size_t size, uint8_t *out)
{
    if (size < FORMAT_TAG_SIZE || size > FORMAT_TAIL_MAX + FORMAT_TAG_SIZE)
        return -1;
    size_t plain = size - FORMAT_TAG_SIZE;
    uint8_t tag[FORMAT_TAG_SIZE];
    memcpy(tag, sealed + plain, sizeof tag);
    int used = 0;
    begin(context, place, 0);
    must(!plain || EVP_CipherUpdate(context->cipher, out, &used, sealed, (int)plain) == 1);
    must(EVP_CIPHER_CTX_ctrl(context->cipher, EVP_CTRL_AEAD_SET_TAG, sizeof tag, tag) == 1);
    uint8_t nothing[16];
    return EVP_CipherFinal_ex(context->cipher, nothing, &used) == 1 ? 0 : -1;
}

static EVP_CIPHER_CTX *wrap_context(const uint8_t *wrapping, const uint8_t *nonce,
                                    const char *associated, int encrypt)
{
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    int used;
    must(context && cipher &&
         EVP_CipherInit_ex2(context, cipher, wrapping, nonce, encrypt, NULL) == 1 &&
         EVP_CipherUpdate(context, NULL, &used, (const uint8_t *)associated,
                          (int)strlen(associated)) == 1);
    EVP_CIPHER_free(cipher);
    return context;
}

void crypto_wrap(const uint8_t wrapping[FORMAT_KEY_SIZE], const char *associated,
                 const uint8_t master[FORMAT_KEY_SIZE], uint8_t wrapped[crypto_wrapped_size])
{
    uint8_t *nonce = wrapped, *sealed = wrapped + FORMAT_NONCE_SIZE;
    int used;
    crypto_random(nonce, FORMAT_NONCE_SIZE);
    EVP_CIPHER_CTX *context = wrap_context(wrapping, nonce, associated, 1);
    must(EVP_CipherUpdate(context, sealed, &used, master, FORMAT_KEY_SIZE) == 1 &&
         EVP_CipherFinal_ex(context, sealed + FORMAT_KEY_SIZE, &used) == 1 &&
         EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, FORMAT_TAG_SIZE,
                             sealed + FORMAT_KEY_SIZE) == 1);
    EVP_CIPHER_CTX_free(context);
}

int crypto_unwrap(const uint8_t wrapping[FORMAT_KEY_SIZE], const char *associated,
                  const uint8_t wrapped[crypto_wrapped_size], uint8_t master[FORMAT_KEY_SIZE])
{
    const uint8_t *sealed = wrapped + FORMAT_NONCE_SIZE;
    uint8_t tag[FORMAT_TAG_SIZE], plain[FORMAT_KEY_SIZE], nothing[16];
    int used;
    memcpy(tag, sealed + FORMAT_KEY_SIZE, sizeof tag);
    EVP_CIPHER_CTX *context = wrap_context(wrapping, wrapped, associated, 0);
    must(EVP_CipherUpdate(context, plain, &used, sealed, FORMAT_KEY_SIZE) == 1 &&
         EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, sizeof tag, tag) == 1);
    bool good = EVP_CipherFinal_ex(context, nothing, &used) == 1;
    EVP_CIPHER_CTX_free(context);
    if (good)
        memcpy(master, plain, sizeof plain);
    memory_wipe(plain, sizeof plain);
    return good ? 0 : -1;
}

int crypto_scrypt(const char *passphrase, const uint8_t *salt, size_t salt_size, uint64_t n,
                  uint32_t r, uint32_t p, uint8_t key[FORMAT_KEY_SIZE])
{
    uint64_t limit = 128 * n * r + 128 * (uint64_t)r * p + (1 << 20);
    return EVP_PBE_scrypt(passphrase, strlen(passphrase), salt, salt_size, n, r, p, limit, key,
                          FORMAT_KEY_SIZE) == 1
               ? 0
               : -1;
}

void crypto_random(void *bytes, size_t size)
{
    must(size <= 256 && getrandom(bytes, size, 0) == (ssize_t)size);
}
