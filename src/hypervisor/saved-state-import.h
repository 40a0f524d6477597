/* A save image becomes the saved state of a defined VM, as if virsh managedsave had made it: what a
 * restore does with the memory of a VM, also on a host whose libvirt never knew it.
 *
 * libvirt has no call for that. QEMU is started from the image, paused, and saved again by libvirt
 * itself; the guest does not run for a moment. That also proves that the memory can be loaded here.
 */
#ifndef HYPERVISOR_SAVED_STATE_IMPORT_H
#define HYPERVISOR_SAVED_STATE_IMPORT_H

#include "base/json.h"
#include "hypervisor/connection.h"

#include <stdbool.h>
#include <stdint.h>

struct saved_state_import {
    const char *uuid;
    const char *image; /* stays as it is; root only needs to read it */
    const char *xml;   /* takes the place of the one in the image; NULL = that one is right */
    /* The same as it is loaded now, where `xml` has what libvirt only takes later (a network that
     * is not active); NULL = xml. It needs `xml`, which may be larger by the 1 KiB that libvirt
     * spares for it. */
    const char *load_xml;
    bool paused; /* the VM is paused once it is started */
};

/* The VM is defined with its disks and state files in place, and off. It is off afterwards, too,
 * and saved (DOMAIN_SAVED). Takes as long as the memory is read and written. On failure the VM may
 * be there half started: "drop-import" (undo-kinds.h), which was made known before, takes it away.
 * ERROR_FAILED, "saved-state-not-loaded": libvirt or QEMU refuse the image. ERROR_CONNECTION,
 * "libvirt-unreachable": libvirtd has ended. ERROR_BUSY: the VM is not off. */
int saved_state_import(struct hypervisor *hypervisor, const struct saved_state_import *import,
                       struct error *error);

/* Arguments of "put-back-saved": the image that libvirt keeps as `original` is renamed to `aside`
 * after the step is known. */
json_t *saved_state_aside_arguments(const char *uuid, const char *name, const char *original,
                                    const char *aside, bool paused);

/* Arguments of "drop-import". `aside` is that of saved_state_aside_arguments(), or NULL. */
json_t *saved_state_import_arguments(const char *uuid, const char *name, const char *image,
                                     const char *aside);

#endif
