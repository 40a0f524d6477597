/* The registry: a dispatcher for the writers, a list of providers. */
#include "vss/coordinator-private.h"

#include "vss/failure.h"

#include <pthread.h>

struct coordinator {
    /* Set at creation, never changed. */
    struct dispatcher *dispatcher;
    char *lock_path;
    pthread_mutex_t lock;
    /* Guarded by lock; elements stay until the end. */
    struct stages_provider **providers;
    size_t provider_count;
};

struct coordinator *coordinator_new(const char *lock_path, coordinator_observer *observer,
                                    void *context)
{
    struct coordinator *coordinator = NEW(struct coordinator);
    coordinator->dispatcher = dispatcher_new(observer, context);
    coordinator->lock_path = memory_copy_string(lock_path);
    pthread_mutex_init(&coordinator->lock, NULL);
    return coordinator;
}

int coordinator_free(struct coordinator *coordinator)
{
    if (!coordinator)
        return 0;
    int result = dispatcher_free(coordinator->dispatcher);
    for (size_t i = 0; i < coordinator->provider_count; i++) {
        free(coordinator->providers[i]->name);
        free(coordinator->providers[i]->version);
        free(coordinator->providers[i]);
    }
    free(coordinator->providers);
    pthread_mutex_destroy(&coordinator->lock);
    free(coordinator->lock_path);
    free(coordinator);
    return result;
}

struct dispatcher *coordinator_dispatcher(struct coordinator *coordinator)
{
    return coordinator->dispatcher;
}

const char *coordinator_lock_path(const struct coordinator *coordinator)
{
    return coordinator->lock_path;
}

struct id coordinator_subscribe(struct coordinator *coordinator,
                                const struct writer_description *writer)
{
    struct dispatcher_writer *subscribed = dispatcher_subscribe(coordinator->dispatcher, writer);
    return subscribed ? *dispatcher_writer_instance(subscribed) : (struct id){.text = ""};
}

static struct stages_provider *new_provider(const struct provider_description *description)
{
    struct stages_provider *provider = NEW(struct stages_provider);
    provider->description = *description;
    provider->description.name = provider->name = memory_copy_string(description->name);
    provider->description.version = provider->version = memory_copy_string(description->version);
    return provider;
}

/* Before the first of a lower kind. With the lock held. */
static void insert_provider(struct coordinator *coordinator, struct stages_provider *provider)
{
    ARRAY_APPEND(coordinator->providers, coordinator->provider_count, provider);
    size_t i = coordinator->provider_count - 1;
    for (; i > 0; i--) {
        struct stages_provider *before = coordinator->providers[i - 1];
        if (before->description.type >= provider->description.type)
            break;
        coordinator->providers[i] = before;
    }
    coordinator->providers[i] = provider;
}

vss_code coordinator_register_provider(struct coordinator *coordinator,
                                       const struct provider_description *provider,
                                       struct error *error)
{
    vss_code code = VSS_S_OK;
    pthread_mutex_lock(&coordinator->lock);
    for (size_t i = 0; i < coordinator->provider_count; i++)
        if (id_equal(&coordinator->providers[i]->description.id, &provider->id))
            code = failure_set(error, VSS_E_PROVIDER_ALREADY_REGISTERED,
                               "provider %s is registered already", provider->name);
    if (code == VSS_S_OK)
        insert_provider(coordinator, new_provider(provider));
    pthread_mutex_unlock(&coordinator->lock);
    return code;
}

size_t coordinator_providers(struct coordinator *coordinator,
                             struct stages_provider ***ret_providers)
{
    pthread_mutex_lock(&coordinator->lock);
    size_t count = coordinator->provider_count;
    *ret_providers = memory_copy(coordinator->providers, count * sizeof(struct stages_provider *));
    pthread_mutex_unlock(&coordinator->lock);
    return count;
}

size_t coordinator_writers(struct coordinator *coordinator, struct coordinator_writer *writers,
                           size_t size)
{
    CLEANUP_FREE struct dispatcher_writer **all = NULL;
    size_t count = dispatcher_writers(coordinator->dispatcher, &all);
    for (size_t i = 0; i < count && i < size; i++)
        dispatcher_state(all[i], NULL, &writers[i], NULL);
    return count;
}
