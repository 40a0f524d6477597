/* Transfer, parts: the map of what is to be read against a plain model, and the buffers under
 * stress. */
#include "base/clock.h"
#include "base/memory.h"
#include "base/workers.h"
#include "transfer/allocation.h"
#include "transfer/buffers.h"

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>

#include <cmocka.h>

enum { CHUNK = 64 << 10, SECTOR = 512 };

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* ---- Allocation -------------------------------------------------------------------------------
 */

/* The map is right about a chunk when it agrees with a map that has one byte a sector. */
static void check_range(const struct allocation *allocation, uint64_t chunk,
                        struct allocation_range range, const uint8_t *data)
{
    uint64_t start = chunk * CHUNK, alignment = allocation->alignment;
    uint64_t end = start + CHUNK < allocation->size ? start + CHUNK : allocation->size;
    uint64_t first = end, last = start;
    for (uint64_t at = start; at < end; at += SECTOR)
        if (data[at / SECTOR]) {
            first = first < at ? first : at;
            last = at + SECTOR < end ? at + SECTOR : end;
        }
    if (first >= last) {
        assert_int_equal(range.begin, range.end);
        return;
    }
    uint64_t widened = (last - start + alignment - 1) / alignment * alignment;
    assert_int_equal(range.begin, (first - start) / alignment * alignment);
    assert_int_equal(range.end, widened < end - start ? widened : end - start);
}

/* Answer questions at random lengths while chunks are looked up. */
static void check_disk(uint64_t size, uint64_t seed, unsigned alignment)
{
    struct allocation allocation;
    uint64_t reading = 0, chunks = (size + CHUNK - 1) / CHUNK, offset, length;
    CLEANUP_FREE uint8_t *data = memory_new(size / SECTOR + 1, 1); /* 1 = data */
    allocation_init(&allocation, size, CHUNK, alignment);
    while (reading < chunks) {
        if (allocation_next_question(&allocation, reading, &offset, &length)) {
            assert_int_equal(offset, allocation.known);
            assert_true(length > 0 && offset + length <= size && length <= allocation.window);
            uint64_t random = next_random(&seed);
            uint64_t answer = random % 3 == 0 ? 1 + random / 3 % length : random % (300 * SECTOR);
            answer = answer < SECTOR ? SECTOR : answer / SECTOR * SECTOR;
            bool zero = next_random(&seed) % 4 != 0;
            allocation_add(&allocation, reading, answer, zero);
            for (uint64_t at = offset; at < allocation.known; at += SECTOR)
                data[at / SECTOR] = !zero;
        }
        struct allocation_range range;
        for (; reading < chunks && allocation_look_up(&allocation, reading, &range); reading++)
            check_range(&allocation, reading, range, data);
    }
    allocation_clear(&allocation);
}

static void the_map_agrees_with_a_model(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {1, SECTOR, CHUNK, CHUNK + 1, 10 * CHUNK - SECTOR, 700 * CHUNK};
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
        for (uint64_t seed = 1; seed < 20; seed++)
            check_disk(sizes[i], seed * 7919, seed % 2 ? 4096 : SECTOR);
}

/* A disk that is larger than the ring, in extents of any size. */
static void the_ring_is_bounded(void **state)
{
    (void)state;
    const uint64_t size = UINT64_C(1) << 50;
    struct allocation allocation;
    uint64_t offset, length, reading = 0;
    struct allocation_range range;
    allocation_init(&allocation, size, CHUNK, 4096);
    for (unsigned i = 0; i < 100; i++) {
        unsigned questions = 0;
        while (allocation_next_question(&allocation, reading, &offset, &length)) {
            allocation_add(&allocation, reading, UINT32_MAX, i % 2); /* more than was asked */
            assert_true(allocation.known - reading * CHUNK <= allocation.capacity * CHUNK);
            assert_true(++questions <= 3);
        }
        while (allocation_look_up(&allocation, reading, &range)) {
            assert_true(range.begin == 0 && (range.end == 0 || range.end == CHUNK));
            reading++;
        }
    }
    assert_true(allocation.known > allocation.capacity * CHUNK);
    allocation_clear(&allocation);
}

static void after_giving_up_all_is_read(void **state)
{
    (void)state;
    struct allocation allocation;
    struct allocation_range range;
    uint64_t offset, length;
    allocation_init(&allocation, 3 * CHUNK + 5, CHUNK, 4096);
    allocation_add(&allocation, 0, CHUNK + 10, true);
    assert_false(allocation_look_up(&allocation, 1, &range));
    allocation_give_up(&allocation);
    assert_false(allocation_next_question(&allocation, 0, &offset, &length));
    assert_true(allocation_look_up(&allocation, 0, &range));
    assert_int_equal(range.begin, range.end); /* known before */
    assert_true(allocation_look_up(&allocation, 1, &range));
    assert_true(range.begin == 0 && range.end == CHUNK);
    assert_true(allocation_look_up(&allocation, 3, &range));
    assert_true(range.begin == 0 && range.end == 5);
    allocation_clear(&allocation);
}

/* ---- Buffers ----------------------------------------------------------------------------------
 */

enum { SHARES = 6, TOTAL = 9, ROUNDS = 3000, QUEUE = TOTAL };

/* What workers have: any of them may return or hand back a buffer of any disk. */
struct crowd {
    struct buffers *buffers;
    pthread_mutex_t lock;
    pthread_cond_t filled;
    struct buffer *queue[QUEUE];
    unsigned queued;
    bool closing;
    atomic_uint in_use, most;
};

static void *crowd_work(void *argument)
{
    struct crowd *crowd = argument;
    uint64_t seed = 88172645463325252u;
    pthread_mutex_lock(&crowd->lock);
    while (!crowd->closing || crowd->queued) {
        if (!crowd->queued) {
            pthread_cond_wait(&crowd->filled, &crowd->lock);
            continue;
        }
        struct buffer *buffer = crowd->queue[--crowd->queued];
        pthread_mutex_unlock(&crowd->lock);
        if (next_random(&seed) % 2) {
            buffers_hand_back(buffer);
        } else {
            atomic_fetch_sub(&crowd->in_use, 1);
            buffers_return(buffer);
        }
        pthread_mutex_lock(&crowd->lock);
    }
    pthread_mutex_unlock(&crowd->lock);
    return NULL;
}

static void note_use(struct crowd *crowd)
{
    unsigned now = atomic_fetch_add(&crowd->in_use, 1) + 1, most = atomic_load(&crowd->most);
    while (now > most && !atomic_compare_exchange_weak(&crowd->most, &most, now))
        ;
}

/* Waits only for `wake`: a wake-up that is lost ends the test by its limit. */
static void wait_for(const struct share *share)
{
    struct pollfd file = {.fd = share->wake, .events = POLLIN};
    eventfd_t count;
    assert_int_equal(poll(&file, 1, 10000), 1);
    (void)eventfd_read(share->wake, &count);
}

static int crowd_disk(void *context, unsigned index)
{
    struct crowd *crowd = context;
    struct share share;
    struct error error = ERROR_INIT;
    (void)index;
    if (buffers_join(crowd->buffers, &share, &error) != 0)
        return -1;
    for (unsigned taken = 0; taken < ROUNDS;) {
        struct buffer *buffer = buffers_take(&share, &error);
        if (buffer) {
            taken++;
            note_use(crowd);
            memset(buffer->data, (int)index, 16);
            pthread_mutex_lock(&crowd->lock);
            crowd->queue[crowd->queued++] = buffer; /* has room for each of them */
            pthread_cond_signal(&crowd->filled);
            pthread_mutex_unlock(&crowd->lock);
        } else {
            wait_for(&share);
        }
        struct buffer *next;
        for (buffer = buffers_collect(&share); buffer; buffer = next) {
            next = buffer->next;
            atomic_fetch_sub(&crowd->in_use, 1);
            buffers_return(buffer);
        }
    }
    buffers_settle(&share);
    buffers_leave(&share);
    return 0;
}

static void buffers_are_bounded_and_nobody_waits_for_ever(void **state)
{
    (void)state;
    struct crowd crowd = {.buffers = buffers_new(TOTAL, CHUNK)};
    pthread_t workers[2];
    pthread_mutex_init(&crowd.lock, NULL);
    pthread_cond_init(&crowd.filled, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(workers); i++)
        assert_int_equal(pthread_create(&workers[i], NULL, crowd_work, &crowd), 0);
    assert_int_equal(workers_each(SHARES, SHARES, crowd_disk, &crowd), 0);
    pthread_mutex_lock(&crowd.lock);
    crowd.closing = true;
    pthread_cond_broadcast(&crowd.filled);
    pthread_mutex_unlock(&crowd.lock);
    for (size_t i = 0; i < ARRAY_SIZE(workers); i++)
        pthread_join(workers[i], NULL);
    assert_true(buffers_peak(crowd.buffers) <= TOTAL);
    assert_true(buffers_peak(crowd.buffers) >= 2);
    buffers_free(crowd.buffers);
    pthread_cond_destroy(&crowd.filled);
    pthread_mutex_destroy(&crowd.lock);
}

static void a_share_keeps_its_part_from_nobody(void **state)
{
    (void)state;
    struct error error = ERROR_INIT;
    struct buffers *buffers = buffers_new(4, CHUNK);
    struct share first, second;
    struct buffer *held[4];
    assert_int_equal(buffers_join(buffers, &first, &error), 0);
    for (unsigned i = 0; i < 4; i++)
        assert_non_null(held[i] = buffers_take(&first, &error)); /* alone: all of them */
    assert_null(buffers_take(&first, &error));
    assert_int_equal(buffers_join(buffers, &second, &error), 0);
    assert_null(buffers_take(&second, &error));
    /* The first is over its part now and gets no more, so the second gets what comes back. */
    buffers_return(held[0]);
    wait_for(&second);
    assert_null(buffers_take(&first, &error));
    struct buffer *own = buffers_take(&second, &error);
    assert_non_null(own);
    buffers_return(held[1]);
    assert_null(buffers_take(&first, &error));
    buffers_return(held[2]);
    assert_non_null(held[0] = buffers_take(&first, &error)); /* two of four */
    assert_null(buffers_take(&first, &error));
    buffers_return(own);
    buffers_leave(&second); /* and alone again */
    wait_for(&first);
    assert_non_null(held[1] = buffers_take(&first, &error));
    buffers_return(held[0]);
    buffers_return(held[1]);
    buffers_return(held[3]);
    buffers_leave(&first);
    assert_int_equal(buffers_peak(buffers), 4);
    buffers_free(buffers);
    assert_false(error_is_set(&error));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_map_agrees_with_a_model),
        cmocka_unit_test(the_ring_is_bounded),
        cmocka_unit_test(after_giving_up_all_is_read),
        cmocka_unit_test(buffers_are_bounded_and_nobody_waits_for_ever),
        cmocka_unit_test(a_share_keeps_its_part_from_nobody),
    };
    return cmocka_run_group_tests_name("transfer: parts", tests, NULL, NULL);
}
