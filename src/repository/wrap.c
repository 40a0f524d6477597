/* A wrap of another repository or of another time (a run of init that was cut short) is passed
 * over: only a key that also makes the MAC of `vmshadow-repository` is the right one. */
#include "repository/wrap.h"

#include "repository/frame.h"

#include <openssl/crypto.h>
#include <string.h>

enum {
    log2_n_min = 10,
    log2_n_max = 18,
    log2_n_default = 16,
    block_size = 8, /* r */
    rounds = 2,     /* p */
    rounds_max = 4,
    salt_size = 32,
    wraps_max = 64, /* more are not tried: each costs a second of scrypt */
};

struct wrap {
    char *text;     /* owned; cut into lines */
    char *lines[3]; /* parameters, wrapped key, MAC */
    uint64_t n;
    uint32_t r, p;
    uint8_t salt[salt_size], wrapped[crypto_wrapped_size], mac[FORMAT_ID_SIZE];
};

static void wrap_deinit(struct wrap *wrap)
{
    free(wrap->text);
}

static int parse_scrypt(const json_t *root, const char *path, struct wrap *wrap,
                        struct error *error)
{
    int64_t n, r, p;
    const char *salt = json_get_string(root, "salt", path, error);
    if (!salt || json_get_integer(root, "n", path, &n, error) != 0 ||
        json_get_integer(root, "r", path, &r, error) != 0 ||
        json_get_integer(root, "p", path, &p, error) != 0)
        return -1;
    if (n < 1 << log2_n_min || n > 1 << log2_n_max || (n & (n - 1)) != 0 || r != block_size ||
        p < 1 || p > rounds_max ||
        name_parse_hex(salt, strlen(salt), wrap->salt, sizeof wrap->salt) != 0)
        return error_set(error, ERROR_DAMAGED, "%s: scrypt parameters out of bounds", path);
    wrap->n = (uint64_t)n;
    wrap->r = (uint32_t)r;
    wrap->p = (uint32_t)p;
    return 0;
}

static int parse_parameters(const json_t *root, const struct identity *identity, const char *path,
                            struct wrap *wrap, struct error *error)
{
    const char *kind = json_get_string(root, "kind", path, error);
    const char *name = kind ? json_get_string(root, "name", path, error) : NULL;
    const char *repository = name ? json_get_string(root, "repository", path, error) : NULL;
    if (!repository)
        return -1;
    if (strcmp(kind, "scrypt") != 0)
        return error_set(error, ERROR_DAMAGED, "%s: unknown kind of wrap", path);
    if (strcmp(name, strrchr(path, '/') + 1) != 0)
        return error_set(error, ERROR_DAMAGED, "%s was renamed", path);
    if (strcmp(repository, identity->id.text) != 0)
        return error_set(error, ERROR_DAMAGED, "%s belongs to another repository", path);
    return parse_scrypt(root, path, wrap, error);
}

static int wrap_read(struct backend *backend, const struct identity *identity, const char *path,
                     struct wrap *wrap, struct error *error)
{
    size_t size;
    if (frame_read_small(backend, path, FORMAT_TEXT_MAX, &wrap->text, &size, error) != 0)
        return -1;
    if (identity_split_lines(wrap->text, size, wrap->lines, 3) != 0 ||
        name_parse_hex(wrap->lines[1], strlen(wrap->lines[1]), wrap->wrapped,
                       sizeof wrap->wrapped) != 0 ||
        name_parse_hex(wrap->lines[2], strlen(wrap->lines[2]), wrap->mac, sizeof wrap->mac) != 0)
        return error_set(error, ERROR_DAMAGED, "%s does not look like a wrapped key", path);
    CLEANUP_JSON json_t *root = json_parse(wrap->lines[0], strlen(wrap->lines[0]), path, error);
    return root ? parse_parameters(root, identity, path, wrap, error) : -1;
}

struct attempt {
    struct backend *backend;
    const struct identity *identity;
    const char *text, *passphrase;
    uint8_t *master;
    struct wrap_result *result;
};

static bool key_fits(const struct attempt *attempt, const uint8_t *master)
{
    CLEANUP(crypto_freep)
    struct crypto *crypto = crypto_new(master, attempt->identity->repository.bytes);
    return identity_check(crypto, attempt->text) == 0;
}

/* 1 ends the listing: found. A damaged wrap does not hide another that is good. */
static int try_wrap(void *context, const char *path, struct error *error)
{
    struct attempt *attempt = context;
    CLEANUP(wrap_deinit) struct wrap wrap = {0};
    struct error fault = ERROR_INIT;
    if (attempt->result->tried == wraps_max)
        return 0;
    if (wrap_read(attempt->backend, attempt->identity, path, &wrap, &fault) != 0) {
        if (fault.kind == ERROR_DAMAGED || fault.kind == ERROR_NOT_FOUND)
            return 0;
        error_move(error, &fault);
        return -1;
    }
    attempt->result->tried++;
    uint8_t wrapping[FORMAT_KEY_SIZE];
    if (crypto_scrypt(attempt->passphrase, wrap.salt, sizeof wrap.salt, wrap.n, wrap.r, wrap.p,
                      wrapping) != 0)
        return error_set(error, ERROR_FAILED, "%s: no memory for scrypt", path);
    int result = crypto_unwrap(wrapping, wrap.lines[0], wrap.wrapped, attempt->master);
    memory_wipe(wrapping, sizeof wrapping);
    if (result != 0)
        return 0;
    attempt->result->opened++;
    return key_fits(attempt, attempt->master) ? 1 : 0;
}

int wrap_open_any(struct backend *backend, const struct identity *identity, const char *text,
                  const char *passphrase, uint8_t master[FORMAT_KEY_SIZE],
                  struct wrap_result *ret_result, struct error *error)
{
    struct attempt attempt = {backend, identity, text, passphrase, master, ret_result};
    return backend->list(backend, "keys/", try_wrap, &attempt, error);
}

static void mac_lines(const struct crypto *crypto, const char *first, const char *second,
                      uint8_t mac[FORMAT_ID_SIZE])
{
    struct iovec pieces[] = {
        {(void *)first, strlen(first)}, {(void *)"\n", 1}, {(void *)second, strlen(second)}};
    crypto_text_mac(crypto, "wrap", pieces, 3, mac);
}

static char *parameters_line(const struct identity *identity, const char *name, unsigned log2_n,
                             const uint8_t salt[salt_size])
{
    char digits[2 * salt_size + 1];
    name_format_hex(salt, salt_size, digits);
    CLEANUP_JSON json_t *root = json_object();
    json_set_string(root, "kind", "scrypt");
    json_set_string(root, "name", name);
    json_set_string(root, "repository", identity->id.text);
    json_set_integer(root, "n", INT64_C(1) << log2_n);
    json_set_integer(root, "r", block_size);
    json_set_integer(root, "p", rounds);
    json_set_string(root, "salt", digits);
    return json_text(root);
}

int wrap_add(struct backend *backend, const struct identity *identity, const struct crypto *crypto,
             const uint8_t master[FORMAT_KEY_SIZE], const char *passphrase, unsigned log2_n,
             struct error *error)
{
    uint8_t salt[salt_size], wrapping[FORMAT_KEY_SIZE], wrapped[crypto_wrapped_size];
    uint8_t mac[FORMAT_ID_SIZE];
    char name[name_text_size], key_digits[2 * crypto_wrapped_size + 1];
    char mac_digits[2 * FORMAT_ID_SIZE + 1];
    unsigned cost = log2_n ? log2_n : log2_n_default;
    if (cost < log2_n_min || cost > log2_n_max)
        return error_set(error, ERROR_USAGE, "scrypt cost %u is not in %d..%d", cost, log2_n_min,
                         log2_n_max);
    struct file_name random_name = name_new();
    name_format_hex(random_name.bytes, sizeof random_name.bytes, name);
    crypto_random(salt, sizeof salt);
    CLEANUP_FREE char *line = parameters_line(identity, name, cost, salt);
    if (crypto_scrypt(passphrase, salt, sizeof salt, UINT64_C(1) << cost, block_size, rounds,
                      wrapping) != 0)
        return error_set(error, ERROR_FAILED, "no memory for scrypt");
    crypto_wrap(wrapping, line, master, wrapped);
    memory_wipe(wrapping, sizeof wrapping);
    name_format_hex(wrapped, sizeof wrapped, key_digits);
    mac_lines(crypto, line, key_digits, mac);
    name_format_hex(mac, sizeof mac, mac_digits);
    CLEANUP_FREE char *text = memory_format("%s\n%s\n%s\n", line, key_digits, mac_digits);
    CLEANUP_FREE char *path = memory_format("keys/%s", name);
    struct iovec piece = {text, strlen(text)};
    return backend->put(backend, path, &piece, 1, error);
}

int wrap_check(struct backend *backend, const struct identity *identity,
               const struct crypto *crypto, const char *path, struct error *error)
{
    CLEANUP(wrap_deinit) struct wrap wrap = {0};
    uint8_t mac[FORMAT_ID_SIZE];
    if (wrap_read(backend, identity, path, &wrap, error) != 0)
        return -1;
    mac_lines(crypto, wrap.lines[0], wrap.lines[1], mac);
    if (CRYPTO_memcmp(mac, wrap.mac, sizeof mac) != 0)
        return error_set(error, ERROR_DAMAGED, "%s was changed: its MAC is wrong", path);
    return 0;
}
