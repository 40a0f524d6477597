/* One reader per element of <devices> and <os>. The parts of a <disk> are in disk-xml.c. */
#include "hypervisor/domain-xml.h"

#include "hypervisor/disk-xml.h"

#include <errno.h>
#include <string.h>

static int read_memory(const xmlNode *root, uint64_t *ret_bytes)
{
    static const struct {
        const char *unit;
        uint64_t factor;
    } units[] = {{"b", 1},
                 {"bytes", 1},
                 {"KB", 1000},
                 {"k", 1024},
                 {"KiB", 1024},
                 {"MB", 1000000},
                 {"M", 1 << 20},
                 {"MiB", 1 << 20},
                 {"GB", 1000000000},
                 {"G", 1 << 30},
                 {"GiB", 1 << 30},
                 {"T", UINT64_C(1) << 40},
                 {"TiB", UINT64_C(1) << 40}};
    const xmlNode *element = xml_child(root, "memory");
    CLEANUP_FREE char *text = xml_text(element);
    CLEANUP_FREE char *unit = xml_attribute(element, "unit");
    if (!text)
        return 0;
    char *end;
    errno = 0;
    uint64_t number = strtoull(text, &end, 10);
    if (errno || *end)
        return -1;
    for (size_t i = 0; i < ARRAY_SIZE(units); i++)
        if (strcmp(unit ? unit : "KiB", units[i].unit) == 0)
            return __builtin_mul_overflow(number, units[i].factor, ret_bytes) ? -1 : 0;
    return -1;
}

static void read_os(const xmlNode *root, struct domain *domain)
{
    const xmlNode *os = xml_child(root, "os");
    const xmlNode *nvram = xml_child(os, "nvram");
    domain->kernel = xml_text(xml_child(os, "kernel"));
    domain->initrd = xml_text(xml_child(os, "initrd"));
    domain->device_tree = xml_text(xml_child(os, "dtb"));
    domain->nvram = xml_attribute(xml_child(nvram, "source"), "file");
    if (!domain->nvram)
        domain->nvram = xml_text(nvram);
}

/* libvirt keeps the state of an emulated TPM by the VM's UUID, unless the XML says where
 * (<source type='dir'>, libvirt 10.7). */
static void read_tpm(const xmlNode *devices, struct domain *domain)
{
    for (const xmlNode *tpm = xml_child(devices, "tpm"); tpm; tpm = xml_next(tpm)) {
        const xmlNode *backend = xml_child(tpm, "backend");
        if (!xml_attribute_is(backend, "type", "emulator") || domain->tpm_state_directory)
            continue;
        domain->tpm_state_directory = xml_attribute(xml_child(backend, "source"), "path");
        if (!domain->tpm_state_directory && domain->uuid)
            domain->tpm_state_directory = memory_format("/var/lib/libvirt/swtpm/%s", domain->uuid);
    }
}

static void read_channels(const xmlNode *devices, struct domain *domain)
{
    for (const xmlNode *c = xml_child(devices, "channel"); c; c = xml_next(c)) {
        const xmlNode *target = xml_child(c, "target");
        if (!xml_attribute_is(target, "name", "org.qemu.guest_agent.0"))
            continue;
        domain->has_agent_channel = true;
        domain->agent_connected = xml_attribute_is(target, "state", "connected");
    }
}

/* ---- Host devices ---- */

static unsigned long hexadecimal(const xmlNode *address, const char *name)
{
    CLEANUP_FREE char *text = xml_attribute(address, name);
    return text ? strtoul(text, NULL, 0) & 0xffff : 0;
}

static char *pci_address(const xmlNode *address)
{
    return memory_format("PCI %04lx:%02lx:%02lx.%lx", hexadecimal(address, "domain"),
                         hexadecimal(address, "bus"), hexadecimal(address, "slot"),
                         hexadecimal(address, "function"));
}

static char *scsi_address(const xmlNode *source)
{
    CLEANUP_FREE char *name = xml_attribute(source, "name");
    if (xml_attribute_is(source, "protocol", "iscsi"))
        return memory_format("iSCSI %s", name ? name : "?");
    CLEANUP_FREE char *adapter = xml_attribute(xml_child(source, "adapter"), "name");
    const xmlNode *address = xml_child(source, "address");
    return memory_format("SCSI %s:%lu:%lu:%lu", adapter ? adapter : "?",
                         hexadecimal(address, "bus"), hexadecimal(address, "target"),
                         hexadecimal(address, "unit"));
}

static char *usb_address(const xmlNode *source)
{
    const xmlNode *address = xml_child(source, "address");
    if (address)
        return memory_format("USB bus %lu device %lu", hexadecimal(address, "bus"),
                             hexadecimal(address, "device"));
    return memory_format("USB %04lx:%04lx", hexadecimal(xml_child(source, "vendor"), "id"),
                         hexadecimal(xml_child(source, "product"), "id"));
}

static char *host_device_name(const xmlNode *hostdev)
{
    const xmlNode *source = xml_child(hostdev, "source");
    CLEANUP_FREE char *type = xml_attribute(hostdev, "type");
    if (!type)
        return memory_copy_string("unnamed host device");
    if (strcmp(type, "pci") == 0)
        return pci_address(xml_child(source, "address"));
    if (strcmp(type, "scsi") == 0)
        return scsi_address(source);
    if (strcmp(type, "usb") == 0)
        return usb_address(source);
    CLEANUP_FREE char *wwpn = xml_attribute(source, "wwpn");
    if (wwpn)
        return memory_format("SCSI host %s", wwpn);
    CLEANUP_FREE char *uuid = xml_attribute(xml_child(source, "address"), "uuid");
    return memory_format("%s %s", type, uuid ? uuid : "");
}

static int read_host_devices(const xmlNode *devices, struct domain *domain, struct error *error)
{
    for (const xmlNode *h = xml_child(devices, "hostdev"); h; h = xml_next(h)) {
        if (domain->host_device_count >= DOMAIN_XML_DEVICES)
            return error_set(error, ERROR_DAMAGED, "too many host devices");
        ARRAY_APPEND(domain->host_devices, domain->host_device_count, host_device_name(h));
    }
    return 0;
}

/* ---- Interfaces ---- */

static void read_interface(const xmlNode *element, struct network_interface *interface)
{
    const xmlNode *source = xml_child(element, "source");
    *interface = (struct network_interface){
        .type = xml_attribute(element, "type"),
        .source = xml_attribute(source, "network"),
        .mac = xml_attribute(xml_child(element, "mac"), "address"),
        .model = xml_attribute(xml_child(element, "model"), "type"),
        .target = xml_attribute(xml_child(element, "target"), "dev"),
    };
    if (!interface->source)
        interface->source = xml_attribute(source, "bridge");
    if (!interface->source)
        interface->source = xml_attribute(source, "dev");
}

static int read_interfaces(const xmlNode *devices, struct domain *domain, struct error *error)
{
    for (const xmlNode *i = xml_child(devices, "interface"); i; i = xml_next(i)) {
        if (domain->interface_count >= DOMAIN_XML_DEVICES)
            return error_set(error, ERROR_DAMAGED, "too many interfaces");
        struct network_interface interface;
        read_interface(i, &interface);
        ARRAY_APPEND(domain->interfaces, domain->interface_count, interface);
        if (!xml_attribute_is(i, "type", "hostdev"))
            continue;
        CLEANUP_FREE char *address = pci_address(xml_find(i, "source/address"));
        ARRAY_APPEND(domain->host_devices, domain->host_device_count,
                     memory_format("%s (network adapter)", address));
    }
    return 0;
}

/* ---- The whole ---- */

static int read_disks(const xmlNode *devices, struct domain *domain, struct disk_facts **facts,
                      struct error *error)
{
    for (const xmlNode *d = xml_child(devices, "disk"); d; d = xml_next(d)) {
        if (domain->disk_count >= DOMAIN_XML_DEVICES)
            return error_set(error, ERROR_DAMAGED, "too many disks");
        struct disk disk = {.size = 0};
        struct disk_facts disk_facts = {.protocol = NULL};
        size_t count = domain->disk_count;
        ARRAY_APPEND(*facts, count, disk_facts);
        ARRAY_APPEND(domain->disks, domain->disk_count, disk);
        if (disk_xml_read(d, &domain->disks[count - 1], &(*facts)[count - 1], error) != 0)
            return -1;
    }
    return 0;
}

static int read_domain(const xmlNode *root, struct domain *domain, struct disk_facts **facts,
                       struct error *error)
{
    if (!xml_is(root, "domain"))
        return error_set(error, ERROR_DAMAGED, "the domain XML has no <domain> at its top");
    domain->name = xml_text(xml_child(root, "name"));
    domain->uuid = xml_text(xml_child(root, "uuid"));
    if (!domain->name || !domain->uuid)
        return error_set(error, ERROR_DAMAGED, "the domain XML has no name or no UUID");
    if (read_memory(root, &domain->memory) != 0)
        return error_set(error, ERROR_DAMAGED, "VM %s: its <memory> is no size", domain->name);
    const xmlNode *devices = xml_child(root, "devices");
    read_os(root, domain);
    read_tpm(devices, domain);
    read_channels(devices, domain);
    if (read_disks(devices, domain, facts, error) != 0 ||
        read_interfaces(devices, domain, error) != 0 ||
        read_host_devices(devices, domain, error) != 0)
        return error_prefix(error, "VM %s: ", domain->name);
    return 0;
}

int domain_xml_read(const char *xml, struct domain **ret_domain, struct disk_facts **ret_facts,
                    struct error *error)
{
    CLEANUP_XML xmlDocPtr document = xml_parse(xml, DOMAIN_XML_LIMIT, "the domain XML", error);
    if (!document)
        return -1;
    CLEANUP(domain_freep) struct domain *domain = NEW(struct domain);
    struct disk_facts *facts = NULL;
    if (read_domain(xmlDocGetRootElement(document), domain, &facts, error) != 0) {
        disk_facts_free(facts, domain->disk_count);
        return -1;
    }
    *ret_facts = facts;
    *ret_domain = TAKE_PTR(domain);
    return 0;
}

int domain_from_xml(const char *xml, struct domain **ret_domain, struct error *error)
{
    struct disk_facts *facts = NULL;
    if (domain_xml_read(xml, ret_domain, &facts, error) != 0)
        return -1;
    disk_facts_free(facts, (*ret_domain)->disk_count);
    return 0;
}

/* Drives for media come and go with nothing in them that would be missed. */
static bool is_missed(const struct disk *disk)
{
    return disk->source && strcmp(disk->device, "cdrom") != 0 &&
           strcmp(disk->device, "floppy") != 0;
}

int domain_xml_compare(struct domain *running, const char *definition, struct error *error)
{
    CLEANUP(domain_freep) struct domain *defined = NULL;
    if (domain_from_xml(definition, &defined, error) != 0)
        return -1;
    for (size_t i = 0; i < running->disk_count; i++)
        running->disks[i].live_only = !domain_find_disk(defined, running->disks[i].target);
    for (size_t i = 0; i < defined->disk_count; i++) {
        const struct disk *disk = &defined->disks[i];
        if (!is_missed(disk) || domain_find_disk(running, disk->target))
            continue;
        struct detached_disk detached = {memory_copy_string(disk->target),
                                         memory_copy_string(disk->source)};
        ARRAY_APPEND(running->detached, running->detached_count, detached);
    }
    return 0;
}

int domain_xml_read_names(const char *xml, char **ret_name, char **ret_uuid, struct error *error)
{
    CLEANUP_XML xmlDocPtr document = xml_parse(xml, DOMAIN_XML_LIMIT, "the domain XML", error);
    if (!document)
        return -1;
    const xmlNode *root = xmlDocGetRootElement(document);
    char *name = xml_is(root, "domain") ? xml_text(xml_child(root, "name")) : NULL;
    if (!name)
        return error_set(error, ERROR_DAMAGED, "the domain XML has no name");
    *ret_name = name;
    *ret_uuid = xml_text(xml_child(root, "uuid"));
    return 0;
}
