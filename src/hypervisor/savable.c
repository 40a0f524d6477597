/* What libvirt and QEMU cannot save: looked for in the live XML, so that such a VM is refused by
 * name before anything is touched. What this list does not know is told by libvirt when the VM is
 * saved, and fails the set then. */
#include "hypervisor/saved-state.h"

#include "hypervisor/domain-xml.h"
#include "hypervisor/xml.h"

#include <string.h>

static char *file_system_share(const xmlNode *devices)
{
    const xmlNode *share = xml_child(devices, "filesystem");
    if (!share)
        return NULL;
    CLEANUP_FREE char *source = xml_attribute(xml_child(share, "source"), "dir");
    CLEANUP_FREE char *target = xml_attribute(xml_child(share, "target"), "dir");
    return memory_format("it shares a file system with the host (%s as %s)", source ? source : "?",
                         target ? target : "?");
}

/* Memory that other processes share, and devices whose state is outside QEMU. */
static char *shared_device(const xmlNode *devices)
{
    const xmlNode *shared = xml_child(devices, "shmem");
    for (; shared; shared = xml_next(shared)) {
        const xmlNode *model = xml_child(shared, "model");
        if (xml_attribute_is(shared, "role", "master") &&
            xml_attribute_is(model, "type", "ivshmem-plain"))
            continue;
        CLEANUP_FREE char *name = xml_attribute(shared, "name");
        return memory_format("it shares memory %s with others", name ? name : "");
    }
    for (const xmlNode *i = xml_child(devices, "interface"); i; i = xml_next(i))
        if (xml_attribute_is(i, "type", "vdpa"))
            return memory_copy_string("it has a network adapter of the host (vdpa)");
    for (const xmlNode *m = xml_child(devices, "memory"); m; m = xml_next(m))
        if (xml_attribute_is(m, "model", "virtio-pmem"))
            return memory_copy_string("it has persistent memory of the host (virtio-pmem)");
    return NULL;
}

static char *passed_through(const xmlNode *devices)
{
    for (const xmlNode *t = xml_child(devices, "tpm"); t; t = xml_next(t))
        if (xml_attribute_is(xml_child(t, "backend"), "type", "passthrough"))
            return memory_copy_string("the host's TPM is passed through to it");
    for (const xmlNode *s = xml_child(devices, "smartcard"); s; s = xml_next(s))
        if (xml_attribute_is(s, "mode", "host"))
            return memory_copy_string("a smart card of the host is passed through to it");
    return NULL;
}

static bool has_tsc_frequency(const xmlNode *root)
{
    const xmlNode *timer = xml_child(xml_child(root, "clock"), "timer");
    for (; timer; timer = xml_next(timer)) {
        CLEANUP_FREE char *frequency = xml_attribute(timer, "frequency");
        if (xml_attribute_is(timer, "name", "tsc") && frequency)
            return true;
    }
    return false;
}

/* A counter of time that must never change its pace is not saved, unless its pace is given. */
static char *unsavable_processor(const xmlNode *root)
{
    const xmlNode *cpu = xml_child(root, "cpu");
    if (has_tsc_frequency(root))
        return NULL;
    for (const xmlNode *f = xml_child(cpu, "feature"); f; f = xml_next(f))
        if (xml_attribute_is(f, "name", "invtsc") &&
            (xml_attribute_is(f, "policy", "require") || xml_attribute_is(f, "policy", "force")))
            return memory_copy_string("its CPU has invtsc, with no frequency of the TSC given");
    if (xml_attribute_is(root, "type", "kvm") && xml_attribute_is(cpu, "migratable", "off"))
        return memory_copy_string("its CPU is the host's with what cannot be saved "
                                  "(migratable='off')");
    return NULL;
}

static char *accelerated_video(const xmlNode *devices)
{
    for (const xmlNode *v = xml_child(devices, "video"); v; v = xml_next(v))
        if (xml_attribute_is(xml_child(xml_child(v, "model"), "acceleration"), "accel3d", "yes"))
            return memory_copy_string("its display is drawn by the host's graphics card (accel3d)");
    return NULL;
}

/* Formats whose drivers in QEMU refuse to hand an image over: what is saved and goes on would use
 * it twice. It is so for every layer, and for disks that are left out. */
static char *unsavable_image(const struct domain *domain)
{
    static const char *const formats[] = {"vmdk", "vpc", "vdi", "qcow"};
    for (size_t i = 0; i < domain->disk_count; i++) {
        const struct disk *disk = &domain->disks[i];
        for (size_t k = 0; k < disk->layer_count; k++)
            for (size_t f = 0; f < ARRAY_SIZE(formats); f++)
                if (disk->layers[k].format && strcmp(disk->layers[k].format, formats[f]) == 0)
                    return memory_format("QEMU saves no VM with an image of format %s: disk %s",
                                         formats[f], disk->target);
    }
    return NULL;
}

char *saved_state_obstacle(const struct domain *domain)
{
    if (!domain->live_xml)
        return NULL;
    if (domain->host_device_count)
        return memory_format("host device %s is passed through to it", domain->host_devices[0]);
    CLEANUP_XML xmlDocPtr document =
        xml_parse(domain->live_xml, DOMAIN_XML_LIMIT, "the domain XML", NULL);
    const xmlNode *root = document ? xmlDocGetRootElement(document) : NULL;
    const xmlNode *devices = xml_child(root, "devices");
    if (xml_child(root, "launchSecurity"))
        return memory_copy_string("its memory is encrypted by the processor (launchSecurity)");
    char *found = file_system_share(devices);
    if (!found)
        found = shared_device(devices);
    if (!found)
        found = passed_through(devices);
    if (!found)
        found = accelerated_video(devices);
    if (!found)
        found = unsavable_image(domain);
    return found ? found : unsavable_processor(root);
}
