/* The record of a run as JSON: the same object in --events and with the stored backup. */
#include "base/clock.h"
#include "hypervisor/connection.h"
#include "requester/requester.h"

json_t *requester_record_json(const struct coordinator_record *record, const char *vm,
                              const char *disk)
{
    json_t *object = json_object();
    json_set_string(object, "kind", record->kind);
    json_set_string(object, "name", record->name);
    json_set_string(object, "party", record->party);
    json_set_string(object, "instance", record->party_id.text);
    json_set_string(object, "set", record->snapshot_set.text);
    if (vm)
        json_set_string(object, "vm", vm);
    if (disk)
        json_set_string(object, "disk", disk);
    json_set_integer(object, "start_ns", record->start);
    json_set_integer(object, "end_ns", record->end);
    json_set(object, "duration_ms",
             json_real((double)(record->end - record->start) / CLOCK_MILLISECOND));
    json_set_integer(object, "libvirt_calls", (int64_t)hypervisor_call_count());
    json_set_string(object, "result", vss_code_name(record->code));
    json_set_string(object, "message", record->message);
    return object;
}
