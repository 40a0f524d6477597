/* The recording provider. A copy exists from Commit until Abort or Delete. */
#include "vss_kit_private.h"

#include <string.h>

static bool fails_now(struct kit_provider *provider, enum vss_stage stage)
{
    pthread_mutex_lock(&provider->kit->lock);
    bool fails = provider->plan[stage].count > 0;
    if (fails)
        provider->plan[stage].count--;
    provider->calls[stage]++;
    pthread_mutex_unlock(&provider->kit->lock);
    return fails;
}

static vss_code act(struct kit_provider *provider, enum vss_stage stage, const struct id *set,
                    struct error *error)
{
    const struct kit_plan *plan = &provider->plan[stage];
    bool fails = fails_now(provider, stage);
    vss_code code = fails ? plan->code : VSS_S_OK;
    size_t entry = kit_begin(provider->kit, provider->name, vss_stage_name(stage), NULL, set);
    if (provider->hook)
        provider->hook(provider, stage);
    if (plan->delay)
        clock_sleep(plan->delay);
    kit_end(provider->kit, entry, code);
    if (code != VSS_S_OK)
        (void)error_set(error, ERROR_FAILED, "planned failure of %s in %s", provider->name,
                        vss_stage_name(stage));
    return code;
}

static vss_code is_volume_supported(void *object, uint32_t context, const char *volume,
                                    bool *ret_supported, struct error *error)
{
    struct kit_provider *provider = object;
    (void)context;
    if (strncmp(volume, "no-such", 7) == 0) {
        (void)error_set(error, ERROR_NOT_FOUND, "there is no volume %s", volume);
        return VSS_E_OBJECT_NOT_FOUND;
    }
    *ret_supported = strncmp(volume, provider->prefix, strlen(provider->prefix)) == 0 &&
                     !(provider->cannot && strcmp(volume, provider->cannot) == 0);
    return VSS_S_OK;
}

static vss_code begin_prepare(void *object, const struct id *set, const struct id *snapshot,
                              const char *volume, uint32_t context, struct error *error)
{
    struct kit_provider *provider = object;
    (void)volume, (void)context;
    pthread_mutex_lock(&provider->kit->lock);
    if (!id_equal(&provider->set, set)) {
        provider->dropped_sets += provider->begun_count > 0;
        provider->begun_count = 0;
        provider->set = *set;
    }
    if (provider->begun_count < kit_copies_size)
        provider->begun[provider->begun_count++] = *snapshot;
    pthread_mutex_unlock(&provider->kit->lock);
    return act(provider, VSS_STAGE_BEGIN_PREPARE_SNAPSHOT, set, error);
}

static vss_code end_prepare(void *object, const struct id *set, struct error *error)
{
    return act(object, VSS_STAGE_END_PREPARE_SNAPSHOTS, set, error);
}

static vss_code pre_commit(void *object, const struct id *set, struct error *error)
{
    return act(object, VSS_STAGE_PRE_COMMIT_SNAPSHOTS, set, error);
}

static vss_code commit(void *object, const struct id *set, struct error *error)
{
    struct kit_provider *provider = object;
    vss_code code = act(object, VSS_STAGE_COMMIT_SNAPSHOTS, set, error);
    if (code != VSS_S_OK)
        return code;
    pthread_mutex_lock(&provider->kit->lock);
    for (size_t i = 0; i < provider->begun_count && provider->copy_count < kit_copies_size; i++)
        provider->copies[provider->copy_count++] = provider->begun[i];
    provider->begun_count = 0;
    pthread_mutex_unlock(&provider->kit->lock);
    return VSS_S_OK;
}

static vss_code post_commit(void *object, const struct id *set, struct error *error)
{
    return act(object, VSS_STAGE_POST_COMMIT_SNAPSHOTS, set, error);
}

static vss_code pre_final_commit(void *object, const struct id *set, struct error *error)
{
    return act(object, VSS_STAGE_PRE_FINAL_COMMIT_SNAPSHOTS, set, error);
}

static vss_code post_final_commit(void *object, const struct id *set, struct error *error)
{
    return act(object, VSS_STAGE_POST_FINAL_COMMIT_SNAPSHOTS, set, error);
}

static void abort_set(void *object, const struct id *set)
{
    struct kit_provider *provider = object;
    (void)act(provider, VSS_STAGE_ABORT_SNAPSHOTS, set, NULL);
    pthread_mutex_lock(&provider->kit->lock);
    provider->begun_count = provider->copy_count = 0;
    pthread_mutex_unlock(&provider->kit->lock);
}

static vss_code delete_snapshot(void *object, const struct id *snapshot, struct error *error)
{
    struct kit_provider *provider = object;
    vss_code code = act(provider, VSS_STAGE_DELETE_SNAPSHOTS, NULL, error);
    pthread_mutex_lock(&provider->kit->lock);
    size_t kept = 0;
    for (size_t i = 0; i < provider->copy_count; i++)
        if (!id_equal(&provider->copies[i], snapshot))
            provider->copies[kept++] = provider->copies[i];
    provider->copy_count = kept;
    pthread_mutex_unlock(&provider->kit->lock);
    return code;
}

static vss_code open_snapshot(void *object, const struct id *snapshot,
                              struct provider_source *ret_source, struct error *error)
{
    (void)object, (void)error;
    ret_source->nbd_uri = memory_format("nbd+unix:///%s", snapshot->text);
    ret_source->size = 1 << 20;
    return VSS_S_OK;
}

static const struct provider_callbacks callbacks = {
    .is_volume_supported = is_volume_supported,
    .begin_prepare = begin_prepare,
    .end_prepare = end_prepare,
    .pre_commit = pre_commit,
    .commit = commit,
    .post_commit = post_commit,
    .pre_final_commit = pre_final_commit,
    .post_final_commit = post_final_commit,
    .abort = abort_set,
    .delete_snapshot = delete_snapshot,
    .open = open_snapshot,
};

void kit_add_provider(struct kit *kit, struct kit_provider *provider)
{
    provider->kit = kit;
    if (id_is_empty(&provider->id))
        provider->id = id_new();
    if (!provider->type)
        provider->type = VSS_PROV_SOFTWARE;
    if (coordinator_register_provider(
            kit->coordinator,
            &(struct provider_description){.id = provider->id,
                                           .name = provider->name,
                                           .version = "1",
                                           .type = provider->type,
                                           .callbacks = &callbacks,
                                           .provider = provider,
                                           .stage_limit = provider->stage_limit},
            NULL) != VSS_S_OK)
        abort();
}
