/* A text is checked in the order: size, shape, version, members; its MAC comes last, because the
 * key for it comes out of a wrap that the text names. Nothing is used before the MAC was right but
 * the repository's id and the mode, and a wrong one of these gives another key, hence another MAC.
 */
#include "repository/identity.h"

#include "repository/frame.h"
#include "repository/wrap.h"

#include <openssl/crypto.h>
#include <string.h>

static const char what[] = FORMAT_HEADER_FILE;

int identity_split_lines(char *text, size_t size, char **lines, int count)
{
    char *at = text, *end = text + size;
    for (int i = 0; i < count; i++) {
        char *newline = memchr(at, '\n', (size_t)(end - at));
        if (!newline || memchr(at, '\0', (size_t)(newline - at)))
            return -1;
        lines[i] = at;
        *newline = '\0';
        at = newline + 1;
    }
    return at == end ? 0 : -1;
}

static int check_version(const json_t *root, struct error *error)
{
    int64_t version;
    const char *magic = json_get_string(root, "magic", what, error);
    if (!magic)
        return -1;
    if (strcmp(magic, FORMAT_HEADER_FILE) != 0)
        return error_set(error, ERROR_DAMAGED, "%s does not describe a repository", what);
    if (json_get_integer(root, "version", what, &version, error) != 0)
        return -1;
    if (version != FORMAT_VERSION) {
        (void)error_set(error, ERROR_REFUSED,
                        "the repository has format version %lld; this program knows version %d",
                        (long long)version, FORMAT_VERSION);
        return error_advise(error, "repository-version", "use a vmshadow that knows this version");
    }
    return 0;
}

static int parse_identity(const json_t *root, struct identity *ret, struct error *error)
{
    struct identity identity;
    int64_t chunk_size;
    if (check_version(root, error) != 0)
        return -1;
    const char *id = json_get_string(root, "id", what, error);
    const char *mode = id ? json_get_string(root, "encryption", what, error) : NULL;
    if (!mode || json_get_integer(root, "chunk_size", what, &chunk_size, error) != 0)
        return -1;
    if (id_parse(id, &identity.id) != 0 || strcmp(id, identity.id.text) != 0 ||
        name_from_id(&identity.id, &identity.repository) != 0)
        return error_set(error, ERROR_DAMAGED, "%s: \"id\" is not an id", what);
    if (chunk_size < FORMAT_CHUNK_MIN || chunk_size > FORMAT_CHUNK_MAX ||
        (chunk_size & (chunk_size - 1)) != 0)
        return error_set(error, ERROR_DAMAGED, "%s: a chunk size of %lld cannot be", what,
                         (long long)chunk_size);
    identity.chunk_size = (uint32_t)chunk_size;
    identity.encrypted = strcmp(mode, "aes-256-gcm") == 0;
    if (!identity.encrypted && strcmp(mode, "none") != 0)
        return error_set(error, ERROR_DAMAGED, "%s: unknown encryption", what);
    *ret = identity;
    return 0;
}

int identity_read(struct backend *backend, struct identity *ret_identity, char **ret_text,
                  struct error *error)
{
    CLEANUP_FREE char *text = NULL;
    size_t size;
    if (frame_read_small(backend, FORMAT_HEADER_FILE, FORMAT_TEXT_MAX, &text, &size, error) != 0) {
        if (error && error->kind == ERROR_NOT_FOUND) {
            error_clear(error);
            (void)error_set(error, ERROR_NOT_FOUND, "there is no repository in %s",
                            backend->description);
            (void)error_advise(error, "no-repository", "make one with `vmshadow init`");
        }
        return -1;
    }
    CLEANUP_FREE char *copy = memory_copy(text, size + 1);
    char *lines[2];
    if (identity_split_lines(copy, size, lines, 2) != 0)
        return error_set(error, ERROR_DAMAGED, "%s does not have two lines", what);
    CLEANUP_JSON json_t *root = json_parse(lines[0], strlen(lines[0]), what, error);
    if (!root || parse_identity(root, ret_identity, error) != 0)
        return -1;
    if (ret_text)
        *ret_text = TAKE_PTR(text);
    return 0;
}

int identity_check(const struct crypto *crypto, const char *text)
{
    const char *newline = strchr(text, '\n');
    uint8_t mac[FORMAT_ID_SIZE], stored[FORMAT_ID_SIZE];
    struct iovec piece = {(void *)text, (size_t)(newline - text)};
    if (strlen(newline + 1) != 2 * sizeof stored + 1 ||
        name_parse_hex(newline + 1, 2 * sizeof stored, stored, sizeof stored) != 0)
        return -1;
    crypto_text_mac(crypto, "header", &piece, 1, mac);
    return CRYPTO_memcmp(mac, stored, sizeof mac) == 0 ? 0 : -1;
}

int identity_write(struct backend *backend, const struct identity *identity,
                   const struct crypto *crypto, struct error *error)
{
    CLEANUP_JSON json_t *root = json_object();
    json_set_string(root, "magic", FORMAT_HEADER_FILE);
    json_set_integer(root, "version", FORMAT_VERSION);
    json_set_string(root, "id", identity->id.text);
    json_set_integer(root, "chunk_size", identity->chunk_size);
    json_set_string(root, "encryption", identity->encrypted ? "aes-256-gcm" : "none");
    CLEANUP_FREE char *line = json_text(root);
    uint8_t mac[FORMAT_ID_SIZE];
    char digits[2 * FORMAT_ID_SIZE + 1];
    struct iovec piece = {line, strlen(line)};
    crypto_text_mac(crypto, "header", &piece, 1, mac);
    name_format_hex(mac, sizeof mac, digits);
    CLEANUP_FREE char *text = memory_format("%s\n%s\n", line, digits);
    piece = (struct iovec){text, strlen(text)};
    return backend->put(backend, FORMAT_HEADER_FILE, &piece, 1, error);
}

static struct crypto *unlock_open(const struct identity *identity)
{
    uint8_t master[FORMAT_KEY_SIZE];
    crypto_open_master(identity->repository.bytes, master);
    return crypto_new(master, identity->repository.bytes);
}

static int header_changed(struct error *error)
{
    (void)error_set(error, ERROR_DAMAGED, "%s was changed: its MAC is wrong", what);
    return error_advise(error, "repository-header-changed",
                        "put the file back as it was, from a copy of the repository");
}

/* Try every wrap; what they say together decides the error. */
static int unlock_wrapped(struct backend *backend, const struct identity *identity,
                          const char *text, const char *passphrase, struct crypto **ret_crypto,
                          struct error *error)
{
    struct wrap_result result = {0};
    uint8_t master[FORMAT_KEY_SIZE];
    if (!passphrase) {
        (void)error_set(error, ERROR_AUTHENTICATION, "the repository in %s needs a passphrase",
                        backend->description);
        return error_advise(error, "passphrase-needed", "give it with --passphrase-file");
    }
    int found = wrap_open_any(backend, identity, text, passphrase, master, &result, error);
    if (found < 0)
        return -1;
    if (found > 0) {
        *ret_crypto = crypto_new(master, identity->repository.bytes);
        memory_wipe(master, sizeof master);
        return 0;
    }
    if (result.opened)
        return header_changed(error);
    if (!result.tried)
        return error_set(error, ERROR_DAMAGED, "no file in keys/ of %s can be read",
                         backend->description);
    (void)error_set(error, ERROR_AUTHENTICATION, "wrong passphrase for the repository in %s",
                    backend->description);
    (void)error_advise(
        error, "wrong-passphrase",
        "give the one that the repository was made with; there is no way without it");
    return -1;
}

int identity_unlock(struct backend *backend, const struct identity *identity, const char *text,
                    const char *passphrase, struct crypto **ret_crypto, struct error *error)
{
    if (identity->encrypted)
        return unlock_wrapped(backend, identity, text, passphrase, ret_crypto, error);
    if (passphrase) {
        (void)error_set(error, ERROR_AUTHENTICATION,
                        "a passphrase was given, but the repository in %s has no encryption",
                        backend->description);
        return error_advise(error, "passphrase-not-needed",
                            "leave the passphrase away only if the repository was made with "
                            "--no-encryption; otherwise somebody replaced it");
    }
    CLEANUP(crypto_freep) struct crypto *crypto = unlock_open(identity);
    if (identity_check(crypto, text) != 0)
        return header_changed(error);
    *ret_crypto = TAKE_PTR(crypto);
    return 0;
}
