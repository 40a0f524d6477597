/* The options are a tree: {driver, file: {driver, filename}, backing: {...} or null}. A format that
 * can have a backing image always gets a "backing" member, so that QEMU does not follow the name in
 * the image's header by itself. */
#include "hypervisor/server.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/memory.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define START_LIMIT (10 * CLOCK_SECOND)
#define STOP_LIMIT (5 * CLOCK_SECOND)

struct server {
    struct process *process;
};

static bool is_one_of(const char *text, const char *const *names)
{
    while (*names && strcmp(text, *names) != 0)
        names++;
    return *names != NULL;
}

static bool can_have_backing(const char *format)
{
    static const char *const names[] = {"qcow2", "qcow", "qed", "vmdk", NULL};
    return is_one_of(format, names);
}

static bool is_known_format(const char *format)
{
    static const char *const names[] = {"raw", "vhdx", "vpc", "vdi", NULL};
    return can_have_backing(format) || is_one_of(format, names);
}

/* ---- The protocol node ---- */

static json_t *file_node(const char *path, struct error *error)
{
    struct stat status;
    if (path[0] != '/' || stat(path, &status) != 0) {
        (void)error_errno(error, path[0] == '/' ? errno : EINVAL, "image %s", path);
        return NULL;
    }
    json_t *node = json_object();
    json_set_string(node, "driver", S_ISBLK(status.st_mode) ? "host_device" : "file");
    json_set_string(node, "filename", path);
    return node;
}

static json_t *address_node(const struct disk_facts *facts)
{
    json_t *address = json_object();
    json_set_string(address, "type", facts->socket ? "unix" : "inet");
    if (facts->socket) {
        json_set_string(address, "path", facts->socket);
    } else {
        json_set_string(address, "host", facts->host ? facts->host : "localhost");
        json_set_string(address, "port", facts->port ? facts->port : "10809");
    }
    return address;
}

static json_t *nbd_node(const struct disk_facts *facts)
{
    json_t *node = json_object();
    json_set_string(node, "driver", "nbd");
    json_set(node, "server", address_node(facts));
    if (facts->name)
        json_set_string(node, "export", facts->name);
    return node;
}

/* "pool/image" or "pool/namespace/image"; monitors and key from the host's Ceph configuration. */
static json_t *rbd_node(const struct disk_facts *facts)
{
    const char *slash = facts->name ? strchr(facts->name, '/') : NULL;
    if (!slash)
        return NULL;
    const char *last = strrchr(facts->name, '/');
    CLEANUP_FREE char *pool = strndup(facts->name, (size_t)(slash - facts->name));
    json_t *node = json_object();
    json_set_string(node, "driver", "rbd");
    json_set_string(node, "pool", pool);
    if (last != slash) {
        CLEANUP_FREE char *space = strndup(slash + 1, (size_t)(last - slash - 1));
        json_set_string(node, "namespace", space);
    }
    json_set_string(node, "image", last + 1);
    if (facts->user)
        json_set_string(node, "user", facts->user);
    return node;
}

static json_t *network_node(const struct disk_facts *facts, struct error *error)
{
    json_t *node = NULL;
    const char *protocol = facts && facts->protocol ? facts->protocol : "?";
    if (facts && strcmp(protocol, "nbd") == 0 && !facts->tls)
        node = nbd_node(facts);
    else if (facts && strcmp(protocol, "rbd") == 0)
        node = rbd_node(facts);
    if (node)
        return node;
    (void)error_set(error, ERROR_REFUSED, "its source (%s%s) can be read only while the VM runs",
                    protocol, facts && facts->tls ? " with TLS" : "");
    (void)error_advise(error, "disk-needs-running-vm",
                       "start the VM for the backup, or leave it out");
    return NULL;
}

/* ---- The chain ---- */

/* A reader of a raw image lets others write, unlike one of qcow2: to hold it, a node that takes
 * that permission from everybody else is put between (QEMU's blkdebug does nothing else here). */
static json_t *held_node(json_t *file)
{
    json_t *node = json_object(), *permissions = json_array();
    json_append_string(permissions, "write");
    json_set_string(node, "driver", "blkdebug");
    json_set(node, "image", file);
    json_set(node, "unshare-child-perms", permissions);
    return node;
}

static json_t *layer_node(const struct disk_layer *layer, const struct disk_facts *facts,
                          bool first, bool hold, struct error *error)
{
    if (!layer->format) {
        (void)error_set(error, ERROR_REFUSED,
                        "the format of the backing image %s is written down nowhere",
                        layer->path ? layer->path : "(not a file)");
        (void)error_advise(error, "backing-format-unknown",
                           "qemu-img rebase -u -F FORMAT -b BACKING IMAGE writes it into "
                           "the image above");
        return NULL;
    }
    if (!is_known_format(layer->format)) {
        (void)error_set(error, ERROR_REFUSED, "image format %s is not known", layer->format);
        return NULL;
    }
    json_t *file = layer->path ? file_node(layer->path, error)
                   : first     ? network_node(facts, error)
                               : network_node(NULL, error);
    if (!file)
        return NULL;
    json_t *node = json_object();
    json_set_string(node, "driver", layer->format);
    bool must_hold = hold && layer->path && strcmp(layer->format, "raw") == 0;
    json_set(node, "file", must_hold ? held_node(file) : file);
    return node;
}

int server_options(const struct disk_layer *layers, size_t count, const struct disk_facts *facts,
                   bool force_share, char **ret_options, struct error *error)
{
    CLEANUP_JSON json_t *chain = NULL;
    for (size_t i = count; i-- > 0;) {
        json_t *node = layer_node(&layers[i], facts, i == 0, !force_share, error);
        if (!node)
            return -1;
        if (can_have_backing(layers[i].format))
            json_set(node, "backing", chain ? TAKE_PTR(chain) : json_null());
        json_decref(chain);
        chain = node;
    }
    if (!chain)
        return error_set(error, ERROR_REFUSED, "it has no image");
    if (force_share)
        json_set_boolean(chain, "force-share", true);
    CLEANUP_FREE char *text = json_text(chain);
    *ret_options = memory_format("json:%s", text);
    return 0;
}

/* ---- The process ---- */

static bool listens(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return false;
    memcpy(address.sun_path, path, strlen(path));
    CLEANUP_CLOSE int file = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return file >= 0 && connect(file, (struct sockaddr *)&address, sizeof address) == 0;
}

int server_check(struct server *server, struct error *error)
{
    if (!process_has_ended(server->process))
        return 0;
    const char *said = process_output(server->process);
    (void)error_set(error, ERROR_FAILED, "qemu-nbd ended: %s", *said ? said : "it did not say why");
    return error_advise(error, "image-server-failed",
                        "what it says is in the message; qemu-img check tells of a damaged image");
}

void server_stop(struct server *server)
{
    if (!server)
        return;
    process_stop(server->process, STOP_LIMIT);
    free(server);
}

static int wait_until_ready(struct server *server, const char *socket, struct error *error)
{
    int64_t deadline = clock_monotonic() + START_LIMIT;
    while (!listens(socket)) {
        if (server_check(server, error) != 0)
            return -1;
        if (clock_monotonic() >= deadline) {
            (void)error_set(error, ERROR_TIMEOUT, "qemu-nbd does not begin to listen");
            return error_advise(error, "image-server-failed",
                                "is the host overloaded, or its disk? try again");
        }
        clock_sleep(5 * CLOCK_MILLISECOND);
    }
    return 0;
}

int server_start(struct launcher *launcher, const char *options, const char *socket,
                 const char *name, struct server **ret_server, struct error *error)
{
    CLEANUP_FREE char *socket_option = memory_format("--socket=%s", socket);
    CLEANUP_FREE char *name_option = memory_format("--export-name=%s", name);
    const char *const arguments[] = {"qemu-nbd",    "--read-only", "--persistent", "--shared=0",
                                     socket_option, name_option,   options,        NULL};
    struct server *server = NEW(struct server);
    if (launcher_start(launcher, (char *const *)arguments, &server->process, error) != 0) {
        free(server);
        return -1;
    }
    if (wait_until_ready(server, socket, error) != 0) {
        server_stop(server);
        return -1;
    }
    *ret_server = server;
    return 0;
}
