/* Domains: libvirt's VMs with their state, disks, interfaces and files, read and changed. */
#ifndef HYPERVISOR_DOMAIN_H
#define HYPERVISOR_DOMAIN_H

#include "hypervisor/connection.h"

#include <stdbool.h>
#include <stdint.h>

enum domain_state {
    DOMAIN_RUNNING,
    DOMAIN_PAUSED,    /* by the user */
    DOMAIN_PAUSED_IO, /* by QEMU: I/O error (scratch or disk full) */
    DOMAIN_OFF,
    DOMAIN_SAVED, /* off with a managed save image */
    DOMAIN_CRASHED,
    DOMAIN_OTHER, /* shutting down, being migrated, suspended by the guest (pmsuspended) */
};
const char *
domain_state_name(enum domain_state state); /* "running", "paused", "off", "saved", ... */

/* An image file or device of a disk's chain, the active layer first. */
struct disk_layer {
    char *path;   /* file or device; NULL for a network source */
    char *format; /* "raw", "qcow2", ...; what libvirt knows, never probed by us */
};

struct disk {
    char *target;      /* "vda" */
    char *device;      /* "disk", "cdrom", "floppy", "lun" */
    char *source_type; /* "file", "block", "network", "volume", "nvme", "" = empty drive */
    char *source;      /* path, or "rbd:pool/image", for messages */
    char *format;      /* of the active layer */
    char *bus;
    char *serial;       /* may be NULL */
    char *error_policy; /* may be NULL */
    bool read_only, shareable, transient;
    int64_t size;              /* virtual size in bytes, 0 = unknown */
    int64_t allocation;        /* bytes the source holds, 0 = unknown */
    struct disk_layer *layers; /* the whole chain; layers[0] is the source itself */
    size_t layer_count;
    bool included; /* in a backup; else `reason` says why not (row B10) */
    char *reason;  /* "pass-through disk (device='lun'): back it up inside the guest" */
    /* VMs that are off: why an included disk cannot be read then (image missing, encrypted, no
     * format known, ...), with what to do; not set = it can. */
    struct error obstacle;
    bool has_block_job; /* somebody's job runs on it (running VMs) */
    bool encrypted;     /* QEMU decrypts it: <encryption> in any layer */
    bool sliced;        /* a part of its file only: <slices> */
    bool live_only;     /* attached to the running VM, and not in its definition */
};

/* A disk that the definition has, and the running VM has not. */
struct detached_disk {
    char *target;
    char *source; /* path, or what messages call it */
};

struct network_interface {
    char *type;   /* "network", "bridge", "user", ... */
    char *source; /* network or bridge name */
    char *mac, *model, *target;
};

struct domain {
    char *name, *uuid;
    enum domain_state state;
    bool persistent, autostart;
    bool has_agent_channel, agent_connected; /* org.qemu.guest_agent.0 */
    struct disk *disks; /* of the running VM where it runs, else of its definition */
    size_t disk_count;
    struct detached_disk *detached; /* disks only of the definition; without drives for media */
    size_t detached_count;
    struct network_interface *interfaces;
    size_t interface_count;
    uint64_t memory;    /* bytes */
    char *inactive_xml; /* the definition, with secrets; for a transient domain its live XML */
    char *live_xml;     /* NULL when not active */
    char *configuration_file;  /* /etc/libvirt/qemu/NAME.xml where it is there, else NULL */
    char *nvram;               /* path or NULL */
    char *tpm_state_directory; /* emulated TPM: its state directory, or NULL */
    char *kernel, *initrd, *device_tree; /* direct boot, or NULL */
    char *managed_save;                  /* path of the save image, or NULL */
    char **host_devices;                 /* "PCI 0000:01:00.0", "SCSI ...", for B10 and planning */
    size_t host_device_count;
};
void domain_free(struct domain *domain);
DEFINE_CLEANUP(domain)

/* The VMs with these names or UUIDs, all with wanted_count 0; sorted by name. To describe a VM
 * touches its images and the storage they lie on, so others are not described: what hangs or fails
 * there does not matter. One that cannot be described fails the list; one that is not there, or has
 * gone meanwhile, is left out. The array and its members belong to the caller. */
int domain_list(struct hypervisor *hypervisor, const char *const *wanted, size_t wanted_count,
                struct domain ***ret_domains, size_t *ret_count, struct error *error);
void domain_list_free(struct domain **domains, size_t count);
/* By name or UUID; ERROR_NOT_FOUND names it. */
int domain_lookup(struct hypervisor *hypervisor, const char *name, struct domain **ret_domain,
                  struct error *error);
/* Is there a VM of this name or UUID? ERROR_NOT_FOUND as domain_lookup(); describes nothing. */
int domain_check_exists(struct hypervisor *hypervisor, const char *name, struct error *error);
/* Is it the name, or the UUID in whatever case, of that VM? */
bool domain_is_named(const char *word, const char *name, const char *uuid);
/* State now, by UUID; a VM that is not defined any more is ERROR_NOT_FOUND. */
int domain_get_state(struct hypervisor *hypervisor, const char *uuid, enum domain_state *ret_state,
                     struct error *error);
/* What a definition says, without asking libvirt or looking at a file: name, uuid, memory, disks
 * (without size, included and reason), files of <os> and <tpm>, interfaces, host devices. For XML
 * that is trusted as little as a backup's. ERROR_DAMAGED. */
int domain_from_xml(const char *xml, struct domain **ret_domain, struct error *error);
const struct disk *domain_find_disk(const struct domain *domain, const char *target);

/* The directory in which libvirt keeps the images of managed saves, to be freed. */
char *domain_save_directory(const struct hypervisor *hypervisor);

/* ---- Changing (restore) ---- */

/* Power off (destroy); an inactive domain is fine. */
int domain_destroy(struct hypervisor *hypervisor, const char *uuid, struct error *error);
/* Started already is fine. `paused`: it does not run before somebody resumes it. */
int domain_start(struct hypervisor *hypervisor, const char *uuid, bool paused, struct error *error);
/* Has libvirt snapshots or checkpoints of it? */
int domain_has_snapshots(struct hypervisor *hypervisor, const char *uuid, bool *ret_has,
                         struct error *error);
/* Remove the definition, *keeping* NVRAM, TPM state and disks; managed save, checkpoints' and
 * snapshots' metadata go (they were set aside by the caller). A missing domain is fine. */
int domain_undefine(struct hypervisor *hypervisor, const char *uuid, struct error *error);
/* Define from XML; refuses (ERROR_EXISTS) when the name belongs to another UUID. */
int domain_define(struct hypervisor *hypervisor, const char *xml, struct error *error);
int domain_set_autostart(struct hypervisor *hypervisor, const char *uuid, bool autostart,
                         struct error *error);

#endif
