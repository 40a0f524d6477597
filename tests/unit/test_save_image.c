/* hypervisor/save-image: what is no save image, or not a whole one, is told; memory and disks of a
 * backup must belong together (row R8). And savable: the VMs that cannot be saved (row B4). */
#include "hypervisor/save-image.h"

#include "hypervisor/saved-state-private.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static char path[] = "/tmp/vmshadow-save-image.XXXXXX";

struct header {
    char magic[17];
    uint32_t numbers[3]; /* version, length of the XML, was running */
};

/* Write a file with this header and `rest` bytes behind it. */
static void write_image(const struct header *header, size_t rest)
{
    uint8_t data[256] = {0};
    memcpy(data, header->magic, 16);
    memcpy(data + 16, header->numbers, sizeof header->numbers);
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    assert_int_equal(write(file, data, 28 + rest), 28 + rest);
    assert_int_equal(close(file), 0);
}

static int set_up(void **state)
{
    (void)state;
    int file = mkstemp(path);
    return file < 0 ? -1 : close(file);
}

static int tear_down(void **state)
{
    (void)state;
    return unlink(path);
}

static void the_header_tells_how_it_continues(void **state)
{
    (void)state;
    struct error error = ERROR_INIT;
    struct save_image image;
    for (uint32_t version = 1; version <= 3; version++)
        for (uint32_t running = 0; running < 2; running++) {
            write_image(&(struct header){"LibvirtQemudSave", {version, 3000, running}}, 100);
            assert_int_equal(save_image_read(path, &image, &error), 0);
            assert_int_equal(image.paused, !running);
            assert_int_equal(image.size, 128);
        }
}

/* Of the image, which was written at 1000 s, and two disks. */
static int judge(const char *first, const char *second)
{
    struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    json_t *disks = json_array();
    json_append(disks, json_string(first));
    json_append(disks, json_string(second));
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    int result = saved_state_is_outdated(path, disks);
    json_decref(disks);
    return result;
}

static void only_files_tell_whether_an_image_is_outdated(void **state)
{
    (void)state;
    char disk[] = "/tmp/vmshadow-save-image.XXXXXX";
    struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    int file = mkstemp(disk);
    assert_true(file >= 0);
    assert_int_equal(futimens(file, times), 0);
    assert_int_equal(judge(disk, disk), 0);
    assert_int_equal(judge("/dev/null", disk), -1);
    assert_int_equal(judge(disk, ""), -1);
    assert_int_equal(judge(disk, "/dev/null/missing"), -1);
    times[1].tv_nsec = 1;
    assert_int_equal(futimens(file, times), 0);
    assert_int_equal(judge(disk, disk), 1);
    assert_int_equal(judge("/dev/null", disk), 1);
    assert_int_equal(unlink(disk), 0);
    assert_int_equal(close(file), 0);
    assert_int_equal(saved_state_is_outdated(disk, NULL), 1);
}

static void what_is_no_whole_image_is_told(void **state)
{
    (void)state;
    static const struct {
        struct header header;
        enum error_kind kind;
        const char *words;
    } samples[] = {
        {{"LibvirtQemudPart", {2, 3000, 1}}, ERROR_DAMAGED, "not written to its end"},
        {{"LibvirtQemudSavf", {2, 3000, 1}}, ERROR_DAMAGED, "no save image"},
        {{"LibvirtQemudSave", {0, 3000, 1}}, ERROR_REFUSED, "format 0"},
        {{"LibvirtQemudSave", {4, 3000, 1}}, ERROR_REFUSED, "format 4"},
        {{"LibvirtQemudSave", {2, 0, 1}}, ERROR_DAMAGED, "header"},
        {{"LibvirtQemudSave", {2, 0xffffffff, 1}}, ERROR_DAMAGED, "header"},
        {{"LibvirtQemudSave", {2, 3000, 2}}, ERROR_DAMAGED, "header"},
    };
    struct save_image image;
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        struct error error = ERROR_INIT;
        write_image(&samples[i].header, 100);
        assert_int_equal(save_image_read(path, &image, &error), -1);
        assert_int_equal(error.kind, samples[i].kind);
        assert_non_null(strstr(error.message, samples[i].words));
    }
    struct error error = ERROR_INIT;
    assert_int_equal(truncate(path, 27), 0);
    assert_int_equal(save_image_read(path, &image, &error), -1);
    assert_int_equal(error.kind, ERROR_DAMAGED);
    error_clear(&error);
    assert_int_equal(save_image_read("/tmp", &image, &error), -1);
    error_clear(&error);
    assert_int_equal(save_image_read("/nowhere/image", &image, &error), -1);
    assert_int_equal(error.kind, ERROR_NOT_FOUND);
}

#define DISK(target, file, more)                                                                   \
    "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='" file        \
    "'/><target dev='" target "' bus='virtio'/>" more "</disk>"
#define XML(disks)                                                                                 \
    "<domain type='qemu'><name>web</name><uuid>5c3f9a52-0f4f-4c1b-9a61-0b8d9a1c2e01</uuid>"        \
    "<memory>1024</memory><devices>" disks "</devices></domain>"

static void memory_must_fit_the_disks(void **state)
{
    (void)state;
    struct disk_layer layer = {.path = (char *)"/images/a.qcow2", .format = (char *)"qcow2"};
    struct disk disk = {
        .target = (char *)"vda",
        .source_type = (char *)"file",
        .source = layer.path,
        .device = (char *)"disk",
        .layers = &layer,
        .layer_count = 1,
    };
    struct domain domain = {.name = (char *)"web", .disks = &disk, .disk_count = 1};
    static const struct {
        const char *xml, *words;
    } samples[] = {
        {XML(DISK("vda", "/images/a.qcow2", "")), NULL},
        {XML(DISK("vda", "/images/a.qcow2", "") DISK("vdb", "/images/b.iso", "<readonly/>")), NULL},
        {XML(""), NULL}, /* the definition has got a disk since: its data does no harm */
        {XML(DISK("vda", "/images/b.qcow2", "")), "vda on /images/b.qcow2"},
        {XML(DISK("vda", "/images/a.qcow2", "") DISK("vdb", "/images/b.qcow2", "")),
         "vdb on /images/b.qcow2; its definition has it no more"},
        {"<network/>", ""},
    };
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        struct error error = ERROR_INIT;
        int result = save_image_check_disks(samples[i].xml, &domain, &error);
        assert_int_equal(result, samples[i].words ? -1 : 0);
        if (samples[i].words && !strstr(error.message, samples[i].words))
            fail_msg("%s", error.message);
    }
}

static void a_link_is_no_save_image(void **state)
{
    (void)state;
    static const char link_path[] = "/tmp/vmshadow-save-image.link";
    struct error error = ERROR_INIT;
    struct save_image image;
    write_image(&(struct header){"LibvirtQemudSave", {2, 3000, 1}}, 100);
    (void)unlink(link_path);
    assert_int_equal(symlink(path, link_path), 0);
    int result = save_image_read(link_path, &image, &error);
    assert_int_equal(unlink(link_path), 0);
    assert_int_equal(result, -1);
}

#define LIVE(type, xml) "<domain type='" type "'><name>web</name>" xml "</domain>"
#define DEVICES(xml) LIVE("kvm", "<devices>" xml "</devices>")
#define INVTSC(policy) "<cpu mode='custom'><feature policy='" policy "' name='invtsc'/></cpu>"

static void what_cannot_be_saved_is_known_before(void **state)
{
    (void)state;
    static const struct {
        const char *xml, *words; /* NULL: it can be saved */
    } samples[] = {
        {DEVICES("<filesystem><source dir='/srv'/><target dir='srv'/></filesystem>"),
         "/srv as srv"},
        {DEVICES("<shmem name='a' role='peer'><model type='ivshmem-plain'/></shmem>"), "memory a"},
        {DEVICES("<shmem name='a' role='master'><model type='ivshmem-doorbell'/></shmem>"),
         "memory a"},
        {DEVICES("<shmem name='a' role='master'><model type='ivshmem-plain'/></shmem>"), NULL},
        {DEVICES("<interface type='network'/><interface type='vdpa'/>"), "vdpa"},
        {DEVICES("<memory model='virtio-pmem'/>"), "virtio-pmem"},
        {DEVICES("<tpm model='tpm-tis'><backend type='passthrough'/></tpm>"), "TPM"},
        {DEVICES("<tpm model='tpm-crb'><backend type='emulator'/></tpm>"), NULL},
        {DEVICES("<smartcard mode='host'/>"), "smart card"},
        {DEVICES("<video><model type='virtio'><acceleration accel3d='yes'/></model></video>"),
         "accel3d"},
        {DEVICES("<video><model type='qxl'/></video><video><model type='virtio'>"
                 "<acceleration accel3d='no'/></model></video>"),
         NULL},
        {LIVE("kvm", "<launchSecurity type='sev'/>"), "launchSecurity"},
        {LIVE("kvm", INVTSC("require")), "invtsc"},
        {LIVE("kvm", INVTSC("disable")), NULL},
        {LIVE("kvm", INVTSC("require") "<clock><timer name='hpet' present='no'/>"
                                       "<timer name='tsc' frequency='2000000000'/></clock>"),
         NULL},
        {LIVE("kvm", INVTSC("require") "<clock><timer name='tsc' mode='native'/></clock>"),
         "invtsc"},
        {LIVE("kvm", "<cpu mode='host-passthrough' migratable='off'/>"), "migratable"},
        {LIVE("kvm", "<cpu mode='host-passthrough' migratable='on'/>"), NULL},
        {LIVE("qemu", "<cpu mode='maximum' migratable='off'/>"), NULL},
    };
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        char *found = saved_state_obstacle(&(struct domain){.live_xml = (char *)samples[i].xml});
        if (!found != !samples[i].words || (found && !strstr(found, samples[i].words)))
            fail_msg("%s: %s", samples[i].xml, found ? found : "nothing");
        free(found);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_header_tells_how_it_continues),
        cmocka_unit_test(only_files_tell_whether_an_image_is_outdated),
        cmocka_unit_test(what_is_no_whole_image_is_told),
        cmocka_unit_test(memory_must_fit_the_disks),
        cmocka_unit_test(a_link_is_no_save_image),
        cmocka_unit_test(what_cannot_be_saved_is_known_before),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
