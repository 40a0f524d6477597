/* The records that the test guest writes and record-check reads.
 *
 * A records file is a row of slots of RECORD_SIZE bytes. Little endian:
 *
 *   offset  size
 *        0     8  magic "VMSREC01"
 *        8     8  number: records count from 1 without a gap; a mark has the number of the record
 * before it (0: none) 16     4  kind: 1 record, 2 mark 20     4  bytes of payload that are used 24
 * 480  payload: for a record derived from its number, so that a checker needs no second source; for
 * a mark its text; the rest is zero 504     8  FNV-1a (64 bit) of all bytes before
 *
 * Every slot is written with one call and is on disk (fsync) before it is reported. So after a
 * power failure only the last slot may be torn; a damaged slot anywhere else, or a gap in the
 * numbers, is lost data.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RECORD_SIZE 512
#define RECORD_TEXT_MAX 480

enum record_kind {
    RECORD_NUMBERED = 1,
    RECORD_MARK = 2,
};

/* Fills SLOT (RECORD_SIZE bytes). TEXT is used for marks only and cut at RECORD_TEXT_MAX bytes. */
void record_encode(uint8_t *slot, enum record_kind kind, uint64_t number, const char *text);

struct record_scan {
    uint64_t last;      /* number of the last good record, 0: none */
    uint64_t marks;     /* how many good marks */
    uint64_t good_size; /* bytes before the first bad slot */
    bool torn;          /* the last slot, and only that, is bad or incomplete */
    bool damaged;       /* a slot before the last is bad, or a number is missing */
    char reason[160];   /* what is wrong and where; empty when nothing is */
};

/* Called for each good mark. TEXT ends with NUL and lives during the call. */
typedef void record_mark_handler(void *opaque, uint64_t number, const char *text);

/* Reads FD from its beginning. ON_MARK may be NULL. Returns 0 and fills RET_SCAN, or -1 with errno
 * when reading fails. */
int record_read_all(int fd, record_mark_handler *on_mark, void *opaque,
                    struct record_scan *ret_scan);
