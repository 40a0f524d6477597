#include "hypervisor/domain-names.h"

#include "hypervisor/call.h"
#include "hypervisor/xml.h"

#include <string.h>

enum { DOMAINS_LIMIT = 16384, TAGS_XML_LIMIT = 1 << 20, TAGS_LIMIT = 1000 };

int domain_names_read_tags(const char *xml, struct domain_names *domain, struct error *error)
{
    static const char blanks[] = " \t\r\n";
    CLEANUP_XML xmlDocPtr document = xml_parse(xml, TAGS_XML_LIMIT, "metadata", error);
    if (!document)
        return -1;
    CLEANUP_FREE char *text = xml_text(xmlDocGetRootElement(document));
    char *rest = NULL;
    for (char *word = text ? strtok_r(text, blanks, &rest) : NULL; word;
         word = strtok_r(NULL, blanks, &rest)) {
        if (domain->tag_count == TAGS_LIMIT)
            return error_set(error, ERROR_REFUSED, "more than %d tags", TAGS_LIMIT);
        ARRAY_APPEND(domain->tags, domain->tag_count, memory_copy_string(word));
    }
    return 0;
}

/* 0 = there are none, or the VM has gone since. */
static int ask_for_tags(virDomainPtr handle, struct domain_names *domain, struct error *error)
{
    unsigned flags =
        VIR(virDomainIsPersistent(handle)) == 1 ? VIR_DOMAIN_AFFECT_CONFIG : VIR_DOMAIN_AFFECT_LIVE;
    CLEANUP_FREE char *xml = VIR(
        virDomainGetMetadata(handle, VIR_DOMAIN_METADATA_ELEMENT, DOMAIN_TAGS_NAMESPACE, flags));
    if (xml)
        return domain_names_read_tags(xml, domain, error);
    if (call_last_code() == VIR_ERR_NO_DOMAIN_METADATA || call_last_code() == VIR_ERR_NO_DOMAIN)
        return 0;
    return call_error(error, "libvirt does not give them");
}

/* Those of the definition; a transient VM has only what it runs with. A VM whose tags cannot be
 * read is an error: a job that goes by tags would leave it out without a word. */
static int read_tags(virDomainPtr handle, struct domain_names *domain, struct error *error)
{
    if (ask_for_tags(handle, domain, error) == 0)
        return 0;
    (void)error_prefix(error, "VM %s: its tags cannot be read: ", domain->name);
    return error_advise(error, "tags-unreadable",
                        "virsh metadata VM " DOMAIN_TAGS_NAMESPACE " shows what libvirt has");
}

static int read_names(virDomainPtr handle, struct domain_names *domain, struct error *error)
{
    char uuid[VIR_UUID_STRING_BUFLEN];
    const char *name = virDomainGetName(handle);
    if (!name || virDomainGetUUIDString(handle, uuid) != 0)
        return call_error(error, "cannot tell the name of a VM");
    domain->name = memory_copy_string(name);
    domain->uuid = memory_copy_string(uuid);
    return 0;
}

static int by_name(const void *left, const void *right)
{
    const struct domain_names *one = left, *other = right;
    return strcmp(one->name, other->name);
}

int domain_names_list(struct hypervisor *hypervisor, bool with_tags,
                      struct domain_names **ret_domains, size_t *ret_count, struct error *error)
{
    CLEANUP_CALL struct call call = CALL_NONE;
    virDomainPtr *handles;
    if (call_begin(hypervisor, CALL_PLAIN, &call, error) != 0)
        return -1;
    int count = VIR(virConnectListAllDomains(call.connection, &handles, 0));
    if (count < 0)
        return call_error(error, "cannot list the VMs");
    int result = count > DOMAINS_LIMIT
                     ? error_set(error, ERROR_REFUSED, "more than %d VMs", DOMAINS_LIMIT)
                     : 0;
    struct domain_names *domains = NEW_ARRAY(struct domain_names, (size_t)count);
    for (int i = 0; i < count; i++) {
        if (result == 0)
            result = read_names(handles[i], &domains[i], error);
        if (result == 0 && with_tags)
            result = read_tags(handles[i], &domains[i], error);
        (void)virDomainFree(handles[i]);
    }
    free(handles);
    if (result != 0) {
        domain_names_free(domains, (size_t)count);
        return -1;
    }
    if (count)
        qsort(domains, (size_t)count, sizeof *domains, by_name);
    *ret_domains = domains;
    *ret_count = (size_t)count;
    return 0;
}

void domain_names_free(struct domain_names *domains, size_t count)
{
    for (size_t i = 0; domains && i < count; i++) {
        free(domains[i].name);
        free(domains[i].uuid);
        for (size_t tag = 0; tag < domains[i].tag_count; tag++)
            free(domains[i].tags[tag]);
        free(domains[i].tags);
    }
    free(domains);
}
