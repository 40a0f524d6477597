/* Encoding and checking of the test guest's records: see record.h. */
#include "record.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NUMBER_AT 8
#define KIND_AT 16
#define LENGTH_AT 20
#define PAYLOAD_AT 24
#define SUM_AT 504

static const uint8_t magic[8] = {'V', 'M', 'S', 'R', 'E', 'C', '0', '1'};

static_assert(PAYLOAD_AT + RECORD_TEXT_MAX == SUM_AT, "layout in record.h");
static_assert(SUM_AT + 8 == RECORD_SIZE, "layout in record.h");

static void put_le(uint8_t *at, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get_le(const uint8_t *at, size_t size)
{
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

static uint64_t fnv1a(const uint8_t *data, size_t size)
{
    uint64_t sum = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < size; i++)
        sum = (sum ^ data[i]) * UINT64_C(0x100000001b3);
    return sum;
}

/* splitmix64: neither zero nor compressible, so that a record is never taken for a hole. */
static void fill_payload(uint8_t *payload, uint64_t number)
{
    for (size_t i = 0; i < RECORD_TEXT_MAX; i += 8) {
        uint64_t z = number * UINT64_C(0x9e3779b97f4a7c15) + i * UINT64_C(0xd1b54a32d192ed03);
        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        put_le(payload + i, z ^ (z >> 31), 8);
    }
}

void record_encode(uint8_t *slot, enum record_kind kind, uint64_t number, const char *text)
{
    size_t length = RECORD_TEXT_MAX;
    memset(slot, 0, RECORD_SIZE);
    memcpy(slot, magic, sizeof(magic));
    put_le(slot + NUMBER_AT, number, 8);
    put_le(slot + KIND_AT, kind, 4);
    if (kind == RECORD_MARK) {
        length = strnlen(text, RECORD_TEXT_MAX);
        memcpy(slot + PAYLOAD_AT, text, length);
    } else {
        fill_payload(slot + PAYLOAD_AT, number);
    }
    put_le(slot + LENGTH_AT, length, 4);
    put_le(slot + SUM_AT, fnv1a(slot, SUM_AT), 8);
}

/* NULL when SLOT is good in itself, else what is wrong with it. */
static const char *slot_fault(const uint8_t *slot)
{
    uint8_t expected[RECORD_SIZE];
    if (memcmp(slot, magic, sizeof(magic)) != 0)
        return "no record there";
    if (get_le(slot + SUM_AT, 8) != fnv1a(slot, SUM_AT))
        return "wrong checksum";
    uint64_t kind = get_le(slot + KIND_AT, 4);
    if (get_le(slot + LENGTH_AT, 4) > RECORD_TEXT_MAX)
        return "impossible length";
    if (kind == RECORD_MARK)
        return NULL;
    if (kind != RECORD_NUMBERED)
        return "unknown kind";
    record_encode(expected, RECORD_NUMBERED, get_le(slot + NUMBER_AT, 8), NULL);
    return memcmp(slot, expected, RECORD_SIZE) == 0 ? NULL : "payload of another record";
}

static void report_mark(const uint8_t *slot, record_mark_handler *on_mark, void *opaque)
{
    char text[RECORD_TEXT_MAX + 1] = {0};
    memcpy(text, slot + PAYLOAD_AT, get_le(slot + LENGTH_AT, 4));
    on_mark(opaque, get_le(slot + NUMBER_AT, 8), text);
}

/* Takes one whole slot into account. Returns false when it is bad; SCAN->reason then says why. */
static bool scan_slot(struct record_scan *scan, const uint8_t *slot, record_mark_handler *on_mark,
                      void *opaque)
{
    const char *fault = slot_fault(slot);
    uint64_t number = get_le(slot + NUMBER_AT, 8);
    bool mark = get_le(slot + KIND_AT, 4) == RECORD_MARK;
    uint64_t expected = mark ? scan->last : scan->last + 1;

    if (fault != NULL) {
        snprintf(scan->reason, sizeof(scan->reason),
                 "%s at offset %" PRIu64 ", where record %" PRIu64 " was to be", fault,
                 scan->good_size, scan->last + 1);
        return false;
    }
    if (number != expected) {
        snprintf(scan->reason, sizeof(scan->reason),
                 "%s %" PRIu64 " at offset %" PRIu64 " where %" PRIu64 " was to be",
                 mark ? "mark after record" : "record", number, scan->good_size, expected);
        scan->damaged = true; /* a good record in the wrong place was not torn */
        return false;
    }
    if (mark) {
        scan->marks++;
        if (on_mark != NULL)
            report_mark(slot, on_mark, opaque);
    } else {
        scan->last = number;
    }
    scan->good_size += RECORD_SIZE;
    return true;
}

/* Reads up to RECORD_SIZE bytes; less only at the end of the file. */
static ssize_t read_slot(int fd, uint8_t *slot, uint64_t offset)
{
    size_t done = 0;
    while (done < RECORD_SIZE) {
        ssize_t n = pread(fd, slot + done, RECORD_SIZE - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

int record_read_all(int fd, record_mark_handler *on_mark, void *opaque,
                    struct record_scan *ret_scan)
{
    struct record_scan scan = {0};
    uint8_t slot[RECORD_SIZE];
    uint8_t after;

    for (;;) {
        ssize_t n = read_slot(fd, slot, scan.good_size);
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        if (n == RECORD_SIZE && scan_slot(&scan, slot, on_mark, opaque))
            continue;
        if (n < RECORD_SIZE)
            snprintf(scan.reason, sizeof(scan.reason), "only %zd bytes of record %" PRIu64, n,
                     scan.last + 1);
        ssize_t more =
            n < RECORD_SIZE ? 0 : pread(fd, &after, 1, (off_t)(scan.good_size + RECORD_SIZE));
        if (more < 0)
            return -1;
        if (more > 0)
            scan.damaged = true;
        scan.torn = !scan.damaged;
        break;
    }
    *ret_scan = scan;
    return 0;
}
