/* recorder: the program inside the test guest which the tests command.
 *
 * It writes numbered, checksummed records (record.h) to the data volumes, runs QEMU's guest agent,
 * and answers on the virtio serial port org.vmshadow.test.0. What it commits it also says on the
 * serial console.
 *
 * One line is a request: `@ID COMMAND...`; one line answers it: `@ID ANSWER`. Requests are answered
 * in order, each within about LIMIT_MS, whatever state the disks are in: what needs a disk is
 * handed to another thread (volume.h), and the answer is `blocked JOB` when that takes longer;
 * `wait VOLUME` fetches it. An answer that begins with `error` says that nothing was done.
 *
 *   ping                          pong
 *   volumes                       volumes NAME...
 *   commit VOLUME NUMBER|next     committed NUMBER, on the disk
 *   mark VOLUME TEXT              marked NUMBER (of the record before it), on the disk
 *   run VOLUME [PAUSE_MS]         running: records are committed one after the other, in the
 * background halt VOLUME                   halted NUMBER wait VOLUME                   the answer
 * of the job that was blocked; idle last VOLUME                   last NUMBER: the last record that
 * is on the disk scan VOLUME                   good|torn NUMBER, damaged REASON: reads all records
 * again frozen? VOLUME                writable | frozen | blocked WHERE fill VOLUME MIB filled MIB:
 * makes the file `ballast` of random bytes without zeroes overwrite VOLUME MIB RATE     overwriting
 * ...: that file, past the page cache, RATE MiB/s (0: full speed), in the background overwrite
 * VOLUME stop         overwritten MIB errors COUNT overwritten VOLUME overwriting|overwritten MIB
 * errors COUNT agent ...                     STATE MODE (agent.h) shell COMMAND exit STATUS OUTPUT,
 * newlines as \n; `wait shell` when it is blocked bootid, uptime                bootid UUID, uptime
 * SECONDS poweroff                      bye: unmounts and powers off
 */
#include "agent.h"
#include "volume.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIMIT_MS 2000
#define VOLUMES_MAX 16
#define LINE_MAX_BYTES 4096

static struct volume *volumes[VOLUMES_MAX];
static size_t volume_count;

/* --- setting up --- */

/* The device of the virtio serial port called NAME, NULL when the guest has none. Lives for ever.
 */
static const char *port_device(const char *name)
{
    char path[64];
    char found[64];
    for (int device = 0; device < 4; device++) {
        for (int port = 0; port < 32; port++) {
            snprintf(path, sizeof(path), "/sys/class/virtio-ports/vport%dp%d/name", device, port);
            FILE *file = fopen(path, "re");
            bool same = file != NULL && fgets(found, sizeof(found), file) != NULL;
            if (file != NULL)
                fclose(file);
            found[strcspn(found, "\n")] = '\0';
            if (!same || strcmp(found, name) != 0)
                continue;
            snprintf(path, sizeof(path), "/dev/vport%dp%d", device, port);
            return strdup(path);
        }
    }
    return NULL;
}

static void find_volumes(void)
{
    char line[512];
    char directory[128];
    FILE *mounts = fopen("/proc/mounts", "re");
    if (mounts == NULL)
        err(1, "/proc/mounts");
    while (volume_count < VOLUMES_MAX && fgets(line, sizeof(line), mounts) != NULL) {
        if (sscanf(line, "%*s %127s", directory) != 1 || strncmp(directory, "/data/", 6) != 0)
            continue;
        char *kept = strdup(directory);
        if (kept == NULL)
            errx(1, "no memory");
        volumes[volume_count++] = volume_new(kept + 6, kept);
    }
    fclose(mounts);
}

static struct volume *find_volume(const char *name)
{
    for (size_t i = 0; i < volume_count; i++) {
        if (strcmp(volume_name(volumes[i]), name) == 0)
            return volumes[i];
    }
    return NULL;
}

/* --- a shell, for what no command is made for --- */

static FILE *shell_output;

static void shell_answer(char *answer)
{
    struct pollfd ready = {.fd = fileno(shell_output), .events = POLLIN};
    static char output[VOLUME_ANSWER_MAX / 2];
    static size_t size;

    for (int rounds = 0; rounds < LIMIT_MS / 50;) {
        if (poll(&ready, 1, 50) == 0) {
            rounds++;
            continue;
        }
        char rest[512];
        ssize_t n = read(ready.fd, rest, sizeof(rest));
        if (n <= 0)
            break;
        for (ssize_t i = 0; i < n && size < sizeof(output) - 3; i++) {
            if (rest[i] == '\n')
                output[size++] = '\\';
            output[size++] = rest[i] == '\n' ? 'n' : rest[i];
        }
    }
    if (poll(&ready, 1, 0) == 0) {
        snprintf(answer, VOLUME_ANSWER_MAX, "blocked shell");
        return;
    }
    int status = pclose(shell_output);
    shell_output = NULL;
    output[size] = '\0';
    snprintf(answer, VOLUME_ANSWER_MAX, "exit %d %s",
             WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), output);
    size = 0;
}

static void shell_start(const char *command, char *answer)
{
    if (shell_output != NULL) {
        snprintf(answer, VOLUME_ANSWER_MAX, "error the shell is busy");
        return;
    }
    char with_errors[LINE_MAX_BYTES + 16];
    snprintf(with_errors, sizeof(with_errors), "exec 2>&1; %s", command);
    shell_output = popen(with_errors, "re");
    if (shell_output == NULL)
        snprintf(answer, VOLUME_ANSWER_MAX, "error cannot start a shell");
    else
        shell_answer(answer);
}

/* --- commands --- */

static bool number_of(const char *text, uint64_t *ret_number)
{
    char *end = NULL;
    if (text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    uint64_t number = strtoull(text, &end, 10);
    if (errno != 0 || *end != '\0')
        return false;
    *ret_number = number;
    return true;
}

static void submit_and_wait(struct volume *volume, enum volume_job job, uint64_t number,
                            const char *text, char *answer)
{
    if (volume_submit(volume, job, number, text))
        (void)volume_wait(volume, LIMIT_MS, answer);
    else
        snprintf(answer, VOLUME_ANSWER_MAX, "error busy");
}

static void run(struct volume *volume, uint64_t pause_ms, char *answer)
{
    if (volume_submit(volume, VOLUME_RUN, pause_ms, ""))
        snprintf(answer, VOLUME_ANSWER_MAX, "running");
    else
        snprintf(answer, VOLUME_ANSWER_MAX, "error busy");
}

static void overwrite(struct volume *volume, const char *arguments, char *answer)
{
    uint64_t mib = 0;
    uint64_t rate = 0;
    if (strcmp(arguments, "stop") == 0)
        volume_overwrite(volume, 0, 0, answer);
    else if (sscanf(arguments, "%" SCNu64 " %" SCNu64, &mib, &rate) == 2 && mib > 0)
        volume_overwrite(volume, mib, rate, answer);
    else
        snprintf(answer, VOLUME_ANSWER_MAX, "error usage: overwrite VOLUME MIB RATE|stop");
}

/* Commands on a volume. ARGUMENTS is empty when there are none. */
static void volume_command(struct volume *volume, const char *verb, const char *arguments,
                           char *answer)
{
    uint64_t number = 0;
    bool numbered = number_of(arguments, &number);

    if (strcmp(verb, "commit") == 0 && (numbered || strcmp(arguments, "next") == 0)) {
        submit_and_wait(volume, VOLUME_COMMIT, number, "", answer);
    } else if (strcmp(verb, "mark") == 0) {
        submit_and_wait(volume, VOLUME_MARK, 0, arguments, answer);
    } else if (strcmp(verb, "scan") == 0) {
        submit_and_wait(volume, VOLUME_SCAN, 0, "", answer);
    } else if (strcmp(verb, "fill") == 0 && numbered) {
        submit_and_wait(volume, VOLUME_FILL, number, "", answer);
    } else if (strcmp(verb, "run") == 0) {
        run(volume, number, answer);
    } else if (strcmp(verb, "halt") == 0) {
        volume_halt(volume);
        (void)volume_wait(volume, LIMIT_MS, answer);
    } else if (strcmp(verb, "wait") == 0) {
        (void)volume_wait(volume, LIMIT_MS, answer);
    } else if (strcmp(verb, "last") == 0) {
        snprintf(answer, VOLUME_ANSWER_MAX, "last %" PRIu64, volume_last(volume));
    } else if (strcmp(verb, "frozen?") == 0) {
        volume_probe(volume, answer);
    } else if (strcmp(verb, "overwrite") == 0) {
        overwrite(volume, arguments, answer);
    } else if (strcmp(verb, "overwritten") == 0) {
        volume_overwritten(volume, answer);
    } else {
        snprintf(answer, VOLUME_ANSWER_MAX, "error unknown command or wrong arguments: %s %s", verb,
                 arguments);
    }
}

/* `LABEL FIRST-WORD-OF-PATH` */
static void answer_with_file(const char *label, const char *path, char *answer)
{
    char word[128] = "";
    FILE *file = fopen(path, "re");
    if (file != NULL && fscanf(file, "%127s", word) != 1)
        word[0] = '\0';
    if (file != NULL)
        fclose(file);
    snprintf(answer, VOLUME_ANSWER_MAX, "%s %s", label, word);
}

static void list_volumes(char *answer)
{
    size_t size = (size_t)snprintf(answer, VOLUME_ANSWER_MAX, "volumes");
    for (size_t i = 0; i < volume_count && size < VOLUME_ANSWER_MAX; i++)
        size += (size_t)snprintf(answer + size, VOLUME_ANSWER_MAX - size, " %s",
                                 volume_name(volumes[i]));
}

static void power_off(char *answer)
{
    snprintf(answer, VOLUME_ANSWER_MAX, "bye");
    if (fork() == 0) {
        sleep(1); /* lets the answer out */
        execl("/init", "init", "poweroff", (char *)NULL);
        _exit(127);
    }
}

/* Splits the first word off TEXT; what is left begins at the returned place. */
static char *split(char *text)
{
    char *end = text + strcspn(text, " ");
    if (*end != '\0')
        *end++ = '\0';
    return end;
}

static void command(char *line, char *answer)
{
    char *verb = line;
    char *rest = split(verb);

    if (strcmp(verb, "ping") == 0) {
        snprintf(answer, VOLUME_ANSWER_MAX, "pong");
    } else if (strcmp(verb, "volumes") == 0) {
        list_volumes(answer);
    } else if (strcmp(verb, "agent") == 0) {
        agent_command(rest, answer, VOLUME_ANSWER_MAX);
    } else if (strcmp(verb, "bootid") == 0) {
        answer_with_file("bootid", "/proc/sys/kernel/random/boot_id", answer);
    } else if (strcmp(verb, "uptime") == 0) {
        answer_with_file("uptime", "/proc/uptime", answer);
    } else if (strcmp(verb, "shell") == 0) {
        shell_start(rest, answer);
    } else if (strcmp(verb, "wait") == 0 && strcmp(rest, "shell") == 0 && shell_output != NULL) {
        shell_answer(answer);
    } else if (strcmp(verb, "poweroff") == 0) {
        power_off(answer);
    } else {
        char *arguments = split(rest);
        struct volume *volume = find_volume(rest);
        if (volume != NULL)
            volume_command(volume, verb, arguments, answer);
        else
            snprintf(answer, VOLUME_ANSWER_MAX, "error unknown command or volume: %s %s", verb,
                     rest);
    }
}

/* --- the channel --- */

/* Gives up when the host has gone: nobody waits for the answer. */
static void send_line(int channel, const char *line, size_t size)
{
    for (int rounds = 0; size > 0 && rounds < 100; rounds++) {
        ssize_t n = write(channel, line, size);
        if (n > 0) {
            line += n;
            size -= (size_t)n;
            continue;
        }
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return;
        usleep(10000);
    }
}

static void serve_line(int channel, char *line)
{
    char answer[VOLUME_ANSWER_MAX];
    char reply[VOLUME_ANSWER_MAX + 64];

    char *request = line[0] == '@' ? split(line) : NULL;
    if (request == NULL)
        return; /* the rest of a request whose sender has gone */
    answer[0] = '\0';
    command(request, answer);
    int size = snprintf(reply, sizeof(reply), "%.40s %s\n", line, answer);
    if (size > 0 && (size_t)size < sizeof(reply))
        send_line(channel, reply, (size_t)size);
}

static void serve(int channel)
{
    char line[LINE_MAX_BYTES];
    size_t size = 0;

    for (;;) {
        ssize_t n = read(channel, line + size, sizeof(line) - 1 - size);
        if (n <= 0) {
            /* Nobody is connected, or nothing is there. poll() returns at once while nobody is
             * connected. */
            struct pollfd input = {.fd = channel, .events = POLLIN};
            (void)poll(&input, 1, 1000);
            if (input.revents & POLLHUP)
                usleep(20000);
            continue;
        }
        size += (size_t)n;
        line[size] = '\0';
        for (char *end; (end = strchr(line, '\n')) != NULL;) {
            *end = '\0';
            serve_line(channel, line);
            size -= (size_t)(end + 1 - line);
            memmove(line, end + 1, size + 1);
        }
        if (size == sizeof(line) - 1)
            size = 0;
    }
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    find_volumes();
    agent_init(port_device("org.qemu.guest_agent.0"));
    const char *device = port_device("org.vmshadow.test.0");
    if (device == NULL)
        errx(1, "no test channel");
    int channel = open(device, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (channel < 0)
        err(1, "%s", device);
    printf("recorder: ready\n");
    serve(channel);
}
