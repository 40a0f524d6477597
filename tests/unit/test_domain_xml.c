/* hypervisor without a hypervisor: domain XML as libvirt writes it and as it should not be, row
 * B10's classification, iSCSI devices in a made-up sysfs, qemu-img's answers, chains of images,
 * the options for qemu-nbd, and the XML of a backup job. */
#include "base/json.h"
#include "base/memory.h"
#include "base/process.h"
#include "hypervisor/backup-job.h"
#include "hypervisor/directory.h"
#include "hypervisor/disk.h"
#include "hypervisor/domain-xml.h"
#include "hypervisor/hypervisor-private.h"
#include "hypervisor/image-state.h"
#include "hypervisor/image.h"
#include "hypervisor/server.h"
#include "hypervisor/xml.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define UUID "c7a5fdbd-edaf-9455-926a-d65c16db1809"
#define HEAD "<domain type='qemu'><name>vm</name><uuid>" UUID "</uuid>"
#define DISKS(xml) HEAD "<devices>" xml "</devices></domain>"

/* ---- One domain per test ---- */

struct parsed {
    struct domain *domain;
    struct disk_facts *facts;
};

static struct parsed parse(const char *xml)
{
    struct parsed parsed = {.domain = NULL};
    struct error error = ERROR_INIT;
    if (domain_xml_read(xml, &parsed.domain, &parsed.facts, &error) != 0)
        fail_msg("%s", error.message);
    return parsed;
}

static void drop(struct parsed *parsed)
{
    disk_facts_free(parsed->facts, parsed->domain->disk_count);
    domain_free(parsed->domain);
}

/* ---- The domain as a whole ---- */

static const char whole[] =
    "<?xml version='1.0'?>\n"
    "<domain type='kvm' id='3'>\n"
    "  <name>B&amp;B \"web\" &apos;gr\xc3\xbcn&apos; \xe6\x97\xa5</name>\n"
    "  <uuid>" UUID "</uuid>\n"
    "  <memory unit='KiB'>262144</memory>\n"
    "  <os><type arch='x86_64'>hvm</type>\n"
    "    <loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE.fd</loader>\n"
    "    <nvram>/var/lib/libvirt/qemu/nvram/B&amp;B_VARS.fd</nvram>\n"
    "    <kernel>/boot/vmlinux</kernel><initrd>/boot/a b.cpio</initrd><dtb>/boot/x.dtb</dtb>\n"
    "  </os>\n"
    "  <devices>\n"
    "    <disk type='file' device='disk'>\n"
    "      <driver name='qemu' type='qcow2' error_policy='report'/>\n"
    "      <source file='/images/B&amp;B &quot;1&quot;.qcow2' index='2'/>\n"
    "      <backingStore type='file' index='3'><format type='raw'/>\n"
    "        <source file='/images/base.raw'/><backingStore/></backingStore>\n"
    "      <target dev='vda' bus='virtio'/><serial>S-1</serial>\n"
    "    </disk>\n"
    "    <interface type='network'><mac address='52:54:00:00:00:01'/>\n"
    "      <source network='default' portid='x' bridge='virbr0'/><target dev='vnet0'/>\n"
    "      <model type='virtio'/></interface>\n"
    "    <interface type='bridge'><source bridge='br7'/></interface>\n"
    "    <channel type='unix'><target type='virtio' name='org.other.0' "
    "state='connected'/></channel>\n"
    "    <channel type='unix'><source mode='bind' path='/x'/>\n"
    "      <target type='virtio' name='org.qemu.guest_agent.0' state='connected'/></channel>\n"
    "    <tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>\n"
    "  </devices>\n"
    "</domain>\n";

static void a_whole_domain(void **state)
{
    (void)state;
    struct parsed parsed = parse(whole);
    const struct domain *domain = parsed.domain;
    assert_string_equal(domain->name, "B&B \"web\" 'gr\xc3\xbcn' \xe6\x97\xa5");
    assert_string_equal(domain->uuid, UUID);
    assert_int_equal(domain->memory, 268435456);
    assert_string_equal(domain->nvram, "/var/lib/libvirt/qemu/nvram/B&B_VARS.fd");
    assert_string_equal(domain->kernel, "/boot/vmlinux");
    assert_string_equal(domain->initrd, "/boot/a b.cpio");
    assert_string_equal(domain->device_tree, "/boot/x.dtb");
    assert_string_equal(domain->tpm_state_directory, "/var/lib/libvirt/swtpm/" UUID);
    assert_true(domain->has_agent_channel);
    assert_true(domain->agent_connected);
    assert_int_equal(domain->interface_count, 2);
    assert_string_equal(domain->interfaces[0].source, "default");
    assert_string_equal(domain->interfaces[0].mac, "52:54:00:00:00:01");
    assert_string_equal(domain->interfaces[0].model, "virtio");
    assert_string_equal(domain->interfaces[0].target, "vnet0");
    assert_string_equal(domain->interfaces[1].source, "br7");
    assert_null(domain->interfaces[1].target);
    drop(&parsed);
}

static void a_disk_with_its_chain(void **state)
{
    (void)state;
    struct parsed parsed = parse(whole);
    const struct disk *disk = domain_find_disk(parsed.domain, "vda");
    assert_non_null(disk);
    assert_null(domain_find_disk(parsed.domain, "vdb"));
    assert_string_equal(disk->source, "/images/B&B \"1\".qcow2");
    assert_string_equal(disk->source_type, "file");
    assert_string_equal(disk->format, "qcow2");
    assert_string_equal(disk->bus, "virtio");
    assert_string_equal(disk->serial, "S-1");
    assert_string_equal(disk->error_policy, "report");
    assert_int_equal(disk->layer_count, 2);
    assert_string_equal(disk->layers[0].path, disk->source);
    assert_string_equal(disk->layers[1].path, "/images/base.raw");
    assert_string_equal(disk->layers[1].format, "raw");
    assert_true(parsed.facts[0].chain_complete);
    drop(&parsed);
}

static void nvram_and_tpm_in_newer_forms(void **state)
{
    (void)state;
    struct parsed parsed =
        parse(HEAD "<memory unit='GiB'>2</memory>"
                   "<os><nvram type='file'><source file='/n/v.fd'/></nvram></os><devices>"
                   "<tpm><backend type='passthrough'/></tpm>"
                   "<tpm><backend type='emulator'><source type='dir' path='/t/s'/></backend></tpm>"
                   "</devices></domain>");
    assert_string_equal(parsed.domain->nvram, "/n/v.fd");
    assert_string_equal(parsed.domain->tpm_state_directory, "/t/s");
    assert_int_equal(parsed.domain->memory, INT64_C(2) << 30);
    assert_false(parsed.domain->has_agent_channel);
    assert_null(parsed.domain->kernel);
    drop(&parsed);
}

static void host_devices_are_named(void **state)
{
    (void)state;
    struct parsed parsed = parse(DISKS(
        "<hostdev mode='subsystem' type='pci'><source><address domain='0x0000' bus='0x01' "
        "slot='0x02' function='0x3'/></source></hostdev>"
        "<hostdev mode='subsystem' type='scsi'><source><adapter name='scsi_host4'/>"
        "<address bus='0' target='1' unit='2'/></source></hostdev>"
        "<hostdev mode='subsystem' type='scsi'><source protocol='iscsi' name='iqn.x:y/1'>"
        "<host name='h'/></source></hostdev>"
        "<hostdev mode='subsystem' type='usb'><source><vendor id='0x1234'/>"
        "<product id='0xbeef'/></source></hostdev>"
        "<hostdev mode='subsystem' type='scsi_host'><source protocol='vhost' "
        "wwpn='naa.50014'/></hostdev>"
        "<hostdev mode='subsystem' type='mdev'><source><address uuid='u-1'/></source></hostdev>"
        "<interface type='hostdev'><source><address type='pci' domain='0x0000' bus='0x05' "
        "slot='0x00' function='0x0'/></source></interface>"));
    static const char *const names[] = {"PCI 0000:05:00.0 (network adapter)",
                                        "PCI 0000:01:02.3",
                                        "SCSI scsi_host4:0:1:2",
                                        "iSCSI iqn.x:y/1",
                                        "USB 1234:beef",
                                        "SCSI host naa.50014",
                                        "mdev u-1"};
    assert_int_equal(parsed.domain->host_device_count, ARRAY_SIZE(names));
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        assert_string_equal(parsed.domain->host_devices[i], names[i]);
    drop(&parsed);
}

/* ---- B10 ---- */

struct sample {
    const char *xml, *pool_type;
    bool iscsi_device;
    const char *source; /* NULL = none */
    const char *reason; /* the beginning of it; NULL = included */
};

static const struct sample samples[] = {
    {"<disk type='file'><source file='/a'/><target dev='vda'/></disk>", .source = "/a"},
    {"<disk type='block' device='disk'><driver type='raw'/><source dev='/dev/vg/lv'/>"
     "<target dev='vda'/></disk>",
     .source = "/dev/vg/lv"},
    {"<disk type='block' device='lun'><source dev='/dev/sdb'/><target dev='sda' "
     "bus='scsi'/></disk>",
     .source = "/dev/sdb", .reason = "pass-through disk (device='lun')"},
    {"<disk type='network' device='lun'><source protocol='iscsi' name='iqn.a:b/1'/>"
     "<target dev='sda'/></disk>",
     .source = "iscsi:iqn.a:b/1", .reason = "pass-through disk (device='lun')"},
    {"<disk type='network' device='disk'><source protocol='iscsi' name='iqn.a:b/1'>"
     "<host name='h' port='3260'/></source><target dev='vda'/></disk>",
     .source = "iscsi:iqn.a:b/1", .reason = "iSCSI disk (protocol='iscsi')"},
    {"<disk type='volume' device='disk'><source pool='p' volume='unit:0:0:1' mode='host'/>"
     "<target dev='vda'/></disk>",
     .pool_type = "iscsi", .source = "p/unit:0:0:1",
     .reason = "iSCSI disk (storage pool p of type iscsi)"},
    {"<disk type='volume'><source pool='p' volume='v'/><target dev='vda'/></disk>",
     .pool_type = "iscsi-direct", .source = "p/v",
     .reason = "iSCSI disk (storage pool p of type iscsi-direct)"},
    {"<disk type='volume'><source pool='p' volume='v'/><target dev='vda'/></disk>",
     .pool_type = "dir", .source = "p/v"},
    {"<disk type='block'><source dev='/dev/sdc'/><target dev='vda'/></disk>", .iscsi_device = true,
     .source = "/dev/sdc", .reason = "iSCSI disk (a device of this host's iSCSI initiator)"},
    {"<disk type='nvme' device='disk'><driver type='raw'/><source type='pci' managed='yes' "
     "namespace='1'><address domain='0x0000' bus='0x01' slot='0x00' function='0x0'/></source>"
     "<target dev='vde'/></disk>",
     .source = "PCI 0000:01:00.0 namespace 1", .reason = "pass-through disk (host NVMe device)"},
    {"<disk type='network' device='disk'><driver type='raw'/><auth username='a'>"
     "<secret type='ceph' uuid='" UUID "'/></auth><source protocol='rbd' name='pool/image'>"
     "<host name='m1' port='6789'/><host name='m2'/></source><target dev='vda'/></disk>",
     .source = "rbd:pool/image"},
    {"<disk type='network'><source protocol='nbd' name='e'><host transport='unix' "
     "socket='/s'/></source><target dev='vda'/></disk>",
     .source = "nbd:e"},
    {"<disk type='file' device='cdrom'><source file='/x.iso'/><target "
     "dev='sda'/><readonly/></disk>",
     .source = "/x.iso", .reason = "CD-ROM medium"},
    {"<disk type='file' device='cdrom'><target dev='sda'/><readonly/></disk>",
     .reason = "empty CD-ROM drive"},
    {"<disk type='file' device='floppy'><source file='/f'/><target dev='fda'/></disk>",
     .source = "/f", .reason = "floppy medium"},
    {"<disk type='file' device='floppy'><target dev='fda'/></disk>",
     .reason = "empty floppy drive"},
    {"<disk type='file'><source file='/ro'/><target dev='vda'/><readonly/></disk>", .source = "/ro",
     .reason = "read-only medium"},
    {"<disk type='file'><source file='/sh'/><target dev='vda'/><shareable/></disk>",
     .source = "/sh", .reason = "disk shared with other VMs"},
    {"<disk type='file'><source file='/tr'/><target dev='vda'/><transient/></disk>",
     .source = "/tr", .reason = "transient disk"},
    {"<disk type='vhostuser'><source type='unix' path='/vhost'/><target dev='vda'/></disk>",
     .source = "/vhost", .reason = "disk served by another process than QEMU (type='vhostuser')"},
    {"<disk type='dir'><source dir='/d'/><target dev='vda'/></disk>", .source = "/d",
     .reason = "host directory shown as a disk"},
};

static void each_disk_is_classified(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
        const struct sample *sample = &samples[i];
        CLEANUP_FREE char *xml = memory_format(DISKS("%s"), sample->xml);
        struct parsed parsed = parse(xml);
        const struct disk *disk = &parsed.domain->disks[0];
        CLEANUP_FREE char *reason =
            disk_reason_left_out(disk, parsed.facts, sample->pool_type, sample->iscsi_device);
        print_message("sample %zu: %s\n", i, reason ? reason : "included");
        if (sample->source)
            assert_string_equal(disk->source, sample->source);
        else
            assert_string_equal(disk->source_type, "");
        assert_true(!sample->reason == !reason);
        if (reason)
            assert_memory_equal(reason, sample->reason, strlen(sample->reason));
        drop(&parsed);
    }
}

static void network_sources_are_read(void **state)
{
    (void)state;
    struct parsed parsed = parse(DISKS(
        "<disk type='network'><auth username='admin'><secret type='ceph' uuid='" UUID "'/></auth>"
        "<source protocol='rbd' name='pool/space/image'><host name='m1' port='6789'/>"
        "<host name='m2'/></source><target dev='vda'/></disk>"
        "<disk type='network'><source protocol='nbd' name='e' tls='yes'>"
        "<host transport='unix' socket='/s'/></source><target dev='vdb'/></disk>"
        "<disk type='file'><driver type='qcow2'/><source file='/l'>"
        "<encryption format='luks'><secret type='passphrase' uuid='" UUID "'/></encryption>"
        "<slices><slice type='storage' offset='1' size='2'/></slices></source>"
        "<target dev='vdc'/></disk>"));
    const struct disk_facts *rbd = &parsed.facts[0], *nbd = &parsed.facts[1];
    assert_string_equal(rbd->protocol, "rbd");
    assert_string_equal(rbd->name, "pool/space/image");
    assert_string_equal(rbd->host, "m1");
    assert_string_equal(rbd->port, "6789");
    assert_int_equal(rbd->host_count, 2);
    assert_string_equal(rbd->user, "admin");
    assert_string_equal(rbd->secret_uuid, UUID);
    assert_null(parsed.domain->disks[0].layers[0].path);
    assert_string_equal(nbd->socket, "/s");
    assert_true(nbd->tls);
    const struct disk *disks = parsed.domain->disks;
    assert_true(disks[2].encrypted && disks[2].sliced);
    assert_false(disks[1].encrypted || disks[1].sliced);
    drop(&parsed);
}

/* ---- Text that is wrong ---- */

static void assert_refused(const char *xml)
{
    struct domain *domain = NULL;
    struct disk_facts *facts = NULL;
    struct error error = ERROR_INIT;
    assert_int_equal(domain_xml_read(xml, &domain, &facts, &error), -1);
    assert_int_equal(error.kind, ERROR_DAMAGED);
    assert_true(error.message[0] != '\0');
    assert_null(domain);
    assert_null(facts);
}

static void wrong_text_is_refused(void **state)
{
    (void)state;
    assert_refused("");
    assert_refused("no XML");
    assert_refused("<domainbackup/>");
    assert_refused("<domain><uuid>" UUID "</uuid></domain>");
    assert_refused("<domain><name>x</name></domain>");
    assert_refused(HEAD "<memory>many</memory></domain>");
    assert_refused(HEAD "<memory unit='TiB'>99999999999</memory></domain>");
    assert_refused(DISKS("<disk type='file'><source file='/a'/></disk>"));
    assert_refused("<!DOCTYPE d [<!ENTITY n 'x'>]>"
                   "<domain><name>&n;</name><uuid>" UUID "</uuid></domain>");
    /* No entity is expanded and no file is read. */
    assert_refused("<!DOCTYPE d [<!ENTITY n SYSTEM 'file:///etc/hostname'>]>"
                   "<domain><name>&n;</name><uuid>" UUID "</uuid></domain>");
}

/* Every prefix of a domain, and every text with one byte changed, is either read or refused. */
static void damaged_text_never_harms(void **state)
{
    (void)state;
    static const char bytes[] = {'\0', '<', '>', '&', '"', '\'', '\xff', '/', '0'};
    size_t size = sizeof whole - 1;
    for (size_t length = 0; length < size - 1; length++) {
        CLEANUP_FREE char *text = strndup(whole, length);
        struct domain *domain = NULL;
        struct disk_facts *facts = NULL;
        struct error error = ERROR_INIT;
        bool complete = strstr(text, "</domain>") != NULL;
        int result = domain_xml_read(text, &domain, &facts, &error);
        assert_int_equal(result, complete ? 0 : -1);
        if (result == 0) {
            disk_facts_free(facts, domain->disk_count);
            domain_free(domain);
        }
    }
    for (size_t position = 0; position < size; position += 3) {
        CLEANUP_FREE char *text = memory_copy_string(whole);
        text[position] = bytes[position % sizeof bytes];
        struct domain *domain = NULL;
        struct disk_facts *facts = NULL;
        if (domain_xml_read(text, &domain, &facts, NULL) == 0) {
            assert_non_null(domain->name);
            disk_facts_free(facts, domain->disk_count);
            domain_free(domain);
        }
    }
}

static char *repeat(const char *head, const char *part, size_t count, const char *tail)
{
    size_t size = strlen(head) + count * strlen(part) + strlen(tail) + 1;
    char *text = memory_new(size, 1), *end = stpcpy(text, head);
    for (size_t i = 0; i < count; i++)
        end = stpcpy(end, part);
    (void)stpcpy(end, tail);
    return text;
}

static void sizes_are_bounded(void **state)
{
    (void)state;
    CLEANUP_FREE char *disks =
        repeat(HEAD "<devices>", "<disk type='file'><target dev='vda'/></disk>",
               DOMAIN_XML_DEVICES + 1, "</devices></domain>");
    assert_refused(disks);
    CLEANUP_FREE char *deep =
        repeat(HEAD "<devices><disk type='file'><source file='/a'/><target dev='vda'/>",
               "<backingStore type='file'><format type='qcow2'/><source file='/b'/>", 300, "");
    assert_refused(deep);
    CLEANUP_FREE char *large =
        repeat(HEAD, "<!-- 0123456789012345678901234567890123456789 -->", 200000, "</domain>");
    assert_refused(large);
}

/* ---- Chains and images ---- */

static char *directory; /* of the test at hand */

static int make_directory(void **state)
{
    (void)state;
    char pattern[] = "/tmp/vmshadow-hypervisor.XXXXXX";
    directory = memory_copy_string(mkdtemp(pattern));
    return directory ? 0 : -1;
}

static int remove_directory(void **state)
{
    (void)state;
    const char *const arguments[] = {"rm", "-rf", directory, NULL};
    int result = process_run((char *const *)arguments, 10 * CLOCK_SECOND, NULL, NULL);
    free(directory);
    return result;
}

static char *file(const char *name)
{
    return memory_format("%s/%s", directory, name);
}

static void run(const char *const *arguments)
{
    struct error error = ERROR_INIT;
    if (process_run((char *const *)arguments, 20 * CLOCK_SECOND, NULL, &error) != 0)
        fail_msg("%s", error.message);
}
#define RUN(...) run((const char *const[]){__VA_ARGS__, NULL})

static void an_answer_of_qemu_img(void **state)
{
    (void)state;
    struct image image;
    struct error error = ERROR_INIT;
    assert_int_equal(
        image_read_json("{\"virtual-size\": 67108864, \"filename\": \"/i/a.qcow2\", \"format\": "
                        "\"qcow2\", \"actual-size\": 200704, \"backing-filename\": \"b.raw\", "
                        "\"full-backing-filename\": \"/i/b.raw\", \"backing-filename-format\": "
                        "\"raw\", \"format-specific\": {\"type\": \"qcow2\", \"data\": {}}}",
                        &image, &error),
        0);
    assert_int_equal(image.size, 67108864);
    assert_int_equal(image.allocation, 200704);
    assert_string_equal(image.backing, "/i/b.raw");
    assert_string_equal(image.backing_format, "raw");
    assert_false(image.encrypted || image.other_files);
    image_clear(&image);
    assert_int_equal(image_read_json("{\"virtual-size\": 1, \"encrypted\": true, "
                                     "\"format-specific\": {\"data\": {\"data-file\": \"x\"}}}",
                                     &image, &error),
                     0);
    assert_true(image.encrypted && image.other_files);
    assert_null(image.backing);
    image_clear(&image);
    assert_int_equal(image_read_json("{\"virtual-size\": 1, \"filename\": \"/a\", "
                                     "\"format-specific\": {\"data\": {\"extents\": "
                                     "[{\"filename\": \"/b\"}]}}}",
                                     &image, &error),
                     0);
    assert_true(image.other_files);
    image_clear(&image);
    assert_int_equal(image_read_json("{\"virtual-size\": -1}", &image, NULL), -1);
    assert_int_equal(image_read_json("{}", &image, NULL), -1);
}

/* raw <- qcow2 <- qcow2, and the XML that names the top only. */
static void a_chain_is_completed_from_headers(void **state)
{
    (void)state;
    CLEANUP_FREE char *base = file("base & co.raw");
    CLEANUP_FREE char *middle = file("middle.qcow2");
    CLEANUP_FREE char *top = file("top.qcow2");
    RUN("qemu-img", "create", "-q", "-f", "raw", base, "1M");
    RUN("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", base, middle, "1M");
    RUN("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", "middle.qcow2", top, "2M");
    CLEANUP_FREE char *xml =
        memory_format(DISKS("<disk type='file'><driver type='qcow2'/><source file='%s'/>"
                            "<target dev='vda'/></disk>"),
                      top);
    struct parsed parsed = parse(xml);
    struct disk *disk = &parsed.domain->disks[0];
    struct error error = ERROR_INIT;
    assert_int_equal(image_complete_chain(disk, parsed.facts, &error), 0);
    assert_int_equal(disk->size, 2 << 20);
    assert_int_equal(disk->layer_count, 3);
    assert_string_equal(disk->layers[1].path, middle);
    assert_string_equal(disk->layers[1].format, "qcow2");
    assert_string_equal(disk->layers[2].path, base);
    assert_string_equal(disk->layers[2].format, "raw");
    drop(&parsed);
}

/* A guest's raw disk that carries a qcow2 header is raw: the header is never looked at. */
static void a_raw_disk_is_never_probed(void **state)
{
    (void)state;
    CLEANUP_FREE char *trap = file("trap");
    RUN("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", "/etc/shadow", "-u", trap,
        "64M");
    CLEANUP_FREE char *xml = memory_format(
        DISKS("<disk type='file'><source file='%s'/><target dev='vda'/></disk>"), trap);
    struct parsed parsed = parse(xml);
    assert_int_equal(image_complete_chain(&parsed.domain->disks[0], parsed.facts, NULL), 0);
    assert_int_equal(parsed.domain->disks[0].layer_count, 1);
    assert_true(parsed.domain->disks[0].size < 1 << 20); /* the file's own size */
    drop(&parsed);
}

static void a_backing_without_format_is_not_opened(void **state)
{
    (void)state;
    struct disk_layer layers[] = {{(char *)"/dev/null", (char *)"qcow2"},
                                  {(char *)"/dev/null", NULL}};
    struct error error = ERROR_INIT;
    char *options = NULL;
    assert_int_equal(server_options(layers, 2, NULL, true, &options, &error), -1);
    assert_int_equal(error.kind, ERROR_REFUSED);
    assert_non_null(strstr(error.message, "written down nowhere"));
    assert_null(options);
}

/* Told at planning, disk by disk, where each would fail the instant of its VM. */
static void what_hinders_reading_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *disk, *told;
        enum error_kind kind;
    } cases[] = {
        {"<driver type='raw'/><source file='/none/a.raw'/>",
         "image /none/a.raw: No such file or directory", ERROR_NOT_FOUND},
        {"<driver type='luks'/><source file='/dev/null'/>", "/dev/null", ERROR_FAILED},
        {"<driver type='raw'/><source protocol='gluster' name='v/i'><host name='h'/></source>",
         "its source (gluster) can be read only while the VM runs", ERROR_REFUSED},
        {"<driver type='raw'/><source protocol='nbd' tls='yes' name='e'><host name='h'/></source>",
         "its source (nbd with TLS) can be read only while the VM runs", ERROR_REFUSED},
        {"<driver type='raw'/><source pool='p' volume='v'/>",
         "volume v of storage pool p cannot be found", ERROR_NOT_FOUND},
        {"<driver type='raw'/><source protocol='rbd' name='p/i'><slices><slice type='storage' "
         "offset='0' size='512'/></slices></source>",
         "it is a slice of its file", ERROR_REFUSED},
        {"<driver type='raw'/><source protocol='rbd' name='p/i'/>", "", ERROR_NONE},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const char *type = strstr(cases[i].disk, "protocol") ? "network"
                           : strstr(cases[i].disk, "pool")   ? "volume"
                                                             : "file";
        CLEANUP_FREE char *xml = memory_format(
            DISKS("<disk type='%s'>%s<target dev='vda'/></disk>"), type, cases[i].disk);
        struct parsed parsed = parse(xml);
        disk_read_stopped(&parsed.domain->disks[0], parsed.facts);
        const struct error *obstacle = &parsed.domain->disks[0].obstacle;
        if (obstacle->kind != cases[i].kind || !strstr(obstacle->message, cases[i].told))
            fail_msg("%s: %d, %s", cases[i].disk, obstacle->kind, obstacle->message);
        drop(&parsed);
    }
}

/* ---- qemu-nbd's options ---- */

static json_t *options_of(const struct disk_layer *layers, size_t count,
                          const struct disk_facts *facts, bool force_share)
{
    char *options;
    struct error error = ERROR_INIT;
    if (server_options(layers, count, facts, force_share, &options, &error) != 0)
        fail_msg("%s", error.message);
    assert_memory_equal(options, "json:", 5);
    json_t *value = json_parse(options + 5, strlen(options + 5), "options", &error);
    assert_non_null(value);
    free(options);
    return value;
}

static void assert_json(const json_t *value, const char *expected)
{
    CLEANUP_FREE char *text = json_text(value);
    assert_string_equal(text, expected);
}

static void a_chain_names_every_layer(void **state)
{
    (void)state;
    CLEANUP_FREE char *top = file("a\"b & ü.qcow2");
    RUN("touch", top);
    struct disk_layer layers[] = {{top, (char *)"qcow2"}, {(char *)"/dev/null", (char *)"raw"}};
    CLEANUP_JSON json_t *chain = options_of(layers, 2, NULL, true);
    CLEANUP_JSON json_t *expected =
        json_pack("{s:s,s:{s:s,s:s},s:{s:s,s:{s:s,s:s}},s:b}", "driver", "qcow2", "file", "driver",
                  "file", "filename", top, "backing", "driver", "raw", "file", "driver", "file",
                  "filename", "/dev/null", "force-share", 1);
    assert_true(json_equal(chain, expected));
    /* The last layer says that there is no backing, whatever its header says. */
    CLEANUP_JSON json_t *alone = options_of(layers, 1, NULL, false);
    assert_true(json_is_null(json_object_get(alone, "backing")));
    assert_null(json_object_get(alone, "force-share"));
}

static void network_sources_have_options(void **state)
{
    (void)state;
    struct disk_layer layer = {NULL, (char *)"raw"};
    struct disk_facts nbd = {
        .protocol = (char *)"nbd", .socket = (char *)"/s", .name = (char *)"e"};
    CLEANUP_JSON json_t *first = options_of(&layer, 1, &nbd, false);
    assert_json(first, "{\"driver\":\"raw\",\"file\":{\"driver\":\"nbd\",\"server\":"
                       "{\"type\":\"unix\",\"path\":\"/s\"},\"export\":\"e\"}}");
    struct disk_facts rbd = {
        .protocol = (char *)"rbd", .name = (char *)"pool/space/image", .user = (char *)"admin"};
    CLEANUP_JSON json_t *second = options_of(&layer, 1, &rbd, false);
    assert_json(second, "{\"driver\":\"raw\",\"file\":{\"driver\":\"rbd\",\"pool\":\"pool\","
                        "\"namespace\":\"space\",\"image\":\"image\",\"user\":\"admin\"}}");
    struct disk_facts other = {.protocol = (char *)"https"};
    struct error error = ERROR_INIT;
    char *options;
    assert_int_equal(server_options(&layer, 1, &other, false, &options, &error), -1);
    assert_int_equal(error.kind, ERROR_REFUSED);
}

/* ---- iSCSI devices ---- */

static void make_directory_path(const char *name)
{
    CLEANUP_FREE char *path = file(name);
    RUN("mkdir", "-p", path);
}

static void make_link(const char *target, const char *name)
{
    CLEANUP_FREE char *path = file(name);
    assert_int_equal(symlink(target, path), 0);
}

static void write_text(const char *name, const char *text)
{
    CLEANUP_FREE char *path = file(name);
    CLEANUP_CLOSE int handle = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(handle >= 0);
    assert_int_equal(write(handle, text, strlen(text)), strlen(text));
}

#define ISCSI "devices/platform/host3/session1/target3:0:0/3:0:0:0/block/sdb"

static void iscsi_devices_are_found_in_sysfs(void **state)
{
    (void)state;
    make_directory_path(ISCSI "/sdb1");
    make_directory_path("devices/pci0000:00/0000:00:1f.2/ata1/session/block/sda");
    make_directory_path("devices/virtual/block/dm-0/slaves");
    make_directory_path("devices/virtual/block/dm-0/dm");
    make_directory_path("devices/virtual/block/dm-1/slaves");
    make_directory_path("devices/virtual/block/dm-1/dm");
    make_directory_path("dev/block");
    make_link("../../" ISCSI, "dev/block/8:16");
    make_link("../../" ISCSI "/sdb1", "dev/block/8:17");
    make_link("../../devices/pci0000:00/0000:00:1f.2/ata1/session/block/sda", "dev/block/8:0");
    make_link("../../devices/virtual/block/dm-0", "dev/block/253:0");
    make_link("../../devices/virtual/block/dm-1", "dev/block/253:1");
    make_link("../../../../../" ISCSI, "devices/virtual/block/dm-0/slaves/sdb");
    make_link("../../../../../" ISCSI, "devices/virtual/block/dm-1/slaves/sdb");
    write_text("devices/virtual/block/dm-0/dm/uuid", "mpath-360014\n");
    write_text("devices/virtual/block/dm-1/dm/uuid", "LVM-abc\n");
    assert_true(disk_is_iscsi_device(directory, "8:16"));
    assert_true(disk_is_iscsi_device(directory, "8:17"));
    assert_false(disk_is_iscsi_device(directory, "8:0"));
    assert_true(disk_is_iscsi_device(directory, "253:0"));
    assert_false(disk_is_iscsi_device(directory, "253:1"));
    assert_false(disk_is_iscsi_device(directory, "1:1"));
}

/* ---- Was it written? ---- */

static void a_written_file_is_seen(void **state)
{
    (void)state;
    struct image_state before, after;
    struct error error = ERROR_INIT;
    CLEANUP_FREE char *path = file("image");
    write_text("image", "old");
    assert_int_equal(image_state_read(path, &before, &error), 0);
    assert_int_equal(image_state_read(path, &after, &error), 0);
    assert_true(image_state_equal(&before, &after));
    for (int i = 0; i < 1000 && image_state_equal(&before, &after); i++) {
        write_text("image", "new"); /* the clock of files ticks some hundred times a second */
        assert_int_equal(image_state_read(path, &after, &error), 0);
        clock_sleep(CLOCK_MILLISECOND);
    }
    assert_false(image_state_equal(&before, &after));
    assert_int_equal(image_state_read("/no/such/image", &after, &error), -1);
}

/* ---- The backup job ---- */

static void the_job_names_its_disks_only(void **state)
{
    (void)state;
    static const struct backup_job_disk disks[] = {{"vda", "/s & 'x'/vda.scratch"},
                                                   {"vdb", "/s/vdb.scratch"}};
    CLEANUP_FREE char *xml = backup_job_xml("/run/a & \"b\"/nbd.sock", disks, 2);
    CLEANUP_XML xmlDocPtr document = xml_parse(xml, 65536, "job", NULL);
    assert_non_null(document);
    const xmlNode *root = xmlDocGetRootElement(document);
    assert_true(xml_is(root, "domainbackup"));
    assert_true(xml_attribute_is(root, "mode", "pull"));
    assert_true(xml_attribute_is(xml_child(root, "server"), "socket", "/run/a & \"b\"/nbd.sock"));
    const xmlNode *disk = xml_find(root, "disks/disk");
    assert_true(xml_attribute_is(disk, "name", "vda"));
    assert_true(xml_attribute_is(disk, "exportname", "vda"));
    assert_true(xml_attribute_is(xml_child(disk, "scratch"), "file", disks[0].scratch));
    assert_true(xml_attribute_is(xml_next(disk), "name", "vdb"));
    assert_null(xml_next(xml_next(disk)));
}

/* ---- Connections ---- */

static void only_local_uris_are_taken(void **state)
{
    (void)state;
    static const char *const local[] = {"qemu:///system", "qemu:///session", "qemu+unix:///system",
                                        "qemu+unix:///system?socket=/run/x"};
    static const char *const others[] = {"qemu+ssh://host/system",
                                         "qemu+ssh:///system",
                                         "qemu://host/system",
                                         "qemu+unix://host/system",
                                         "qemu+tcp://127.0.0.1/system",
                                         "qemu:///embed?root=/x",
                                         "test:///default",
                                         "xen:///system",
                                         "alias",
                                         "",
                                         "/system",
                                         "qemu://["};
    struct error error = ERROR_INIT;
    for (size_t i = 0; i < ARRAY_SIZE(local); i++)
        assert_int_equal(connection_check_uri(local[i], "", &error), 0);
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        assert_int_equal(connection_check_uri(others[i], " (here)", &error), -1);
        assert_int_equal(error.kind, ERROR_USAGE);
        assert_non_null(strstr(error.message, " (here) is not a local one"));
        assert_true(error.hint[0] != '\0');
        error_clear(&error);
    }
}

static void old_versions_are_refused(void **state)
{
    (void)state;
    struct error error = ERROR_INIT;
    assert_int_equal(connection_check_versions(9000000, 7002000, &error), 0);
    assert_int_equal(connection_check_versions(10003001, 9001002, &error), 0);
    assert_int_equal(connection_check_versions(8999999, 7002000, &error), -1);
    assert_int_equal(error.kind, ERROR_REFUSED);
    error_clear(&error);
    assert_int_equal(connection_check_versions(9000000, 7001050, &error), -1);
    assert_string_equal(error.message, "libvirt 9.0 and QEMU 7.2 are needed, this host has "
                                       "libvirt 9.0.0 and QEMU 7.1.50");
}

/* ---- Directories ---- */

static void a_directory_is_set_aside_and_removed(void **state)
{
    (void)state;
    struct error error = ERROR_INIT;
    CLEANUP_FREE char *path = file("a/b/run.1");
    CLEANUP_FREE char *parent = directory_of(path);
    CLEANUP_FREE char *victim = file("victim");
    assert_int_equal(directory_make(parent, &error), 0);
    assert_int_equal(directory_make(parent, &error), 0);
    assert_int_equal(directory_make_private(path, "/", &error), 0);
    assert_int_equal(directory_make_private(path, "/", NULL), -1);
    write_text("a/b/run.1/nbd.sock", "x");
    write_text("victim", "x");
    for (int i = 0; i < 2; i++) { /* idempotent */
        assert_int_equal(directory_set_aside(path, &error), 0);
        assert_int_equal(access(path, F_OK), -1);
    }
    for (int i = 0; i < 2; i++)
        assert_int_equal(directory_remove_aside(path, &error), 0);
    /* A symbolic link in its place is not followed. */
    make_directory_path("elsewhere");
    write_text("elsewhere/keep", "x");
    make_link("../../elsewhere", "a/b/run.1.void");
    assert_int_equal(directory_remove_aside(path, NULL), -1);
    CLEANUP_FREE char *keep = file("elsewhere/keep");
    assert_int_equal(access(keep, F_OK), 0);
    CLEANUP_FREE char *top = directory_of("/x");
    assert_string_equal(top, "/");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_domain),
        cmocka_unit_test(a_disk_with_its_chain),
        cmocka_unit_test(nvram_and_tpm_in_newer_forms),
        cmocka_unit_test(host_devices_are_named),
        cmocka_unit_test(each_disk_is_classified),
        cmocka_unit_test(network_sources_are_read),
        cmocka_unit_test(wrong_text_is_refused),
        cmocka_unit_test(damaged_text_never_harms),
        cmocka_unit_test(sizes_are_bounded),
        cmocka_unit_test(an_answer_of_qemu_img),
        cmocka_unit_test_setup_teardown(a_chain_is_completed_from_headers, make_directory,
                                        remove_directory),
        cmocka_unit_test_setup_teardown(a_raw_disk_is_never_probed, make_directory,
                                        remove_directory),
        cmocka_unit_test(a_backing_without_format_is_not_opened),
        cmocka_unit_test(what_hinders_reading_is_told),
        cmocka_unit_test_setup_teardown(a_chain_names_every_layer, make_directory,
                                        remove_directory),
        cmocka_unit_test(network_sources_have_options),
        cmocka_unit_test_setup_teardown(iscsi_devices_are_found_in_sysfs, make_directory,
                                        remove_directory),
        cmocka_unit_test_setup_teardown(a_written_file_is_seen, make_directory, remove_directory),
        cmocka_unit_test(the_job_names_its_disks_only),
        cmocka_unit_test(only_local_uris_are_taken),
        cmocka_unit_test(old_versions_are_refused),
        cmocka_unit_test_setup_teardown(a_directory_is_set_aside_and_removed, make_directory,
                                        remove_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
