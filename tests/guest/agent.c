/* QEMU's guest agent in the test guest: see agent.h.
 *
 * How it misbehaves in a freeze is told to the agent's freeze hook (tests/guest/freeze-hook) by
 * files in /run, which is memory and is never frozen.
 */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define HANG "/run/freeze-hang"
#define DELAY "/run/freeze-delay"
#define FAIL "/run/freeze-fail"
#define WAITS "/run/freeze-waits"

static const char *device;
static pid_t agent; /* 0: not running */
static int paused;
static char mode[64] = "normal";

static void start(void)
{
    if (device == NULL || agent != 0)
        return;
    agent = fork();
    if (agent == 0) {
        int log = open("/run/qga.log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
        dup2(log, STDOUT_FILENO);
        dup2(log, STDERR_FILENO);
        execl("/usr/sbin/qemu-ga", "qemu-ga", "-m", "virtio-serial", "-p", device, "-t", "/run",
              "-f", "/run/qga.pid", "-F/etc/freeze-hook", (char *)NULL);
        _exit(127);
    }
    if (agent < 0)
        agent = 0;
    paused = 0;
}

static void stop(void)
{
    if (agent == 0)
        return;
    kill(agent, SIGKILL);
    waitpid(agent, NULL, 0);
    agent = 0;
    paused = 0;
    (void)unlink("/run/qga.pid");
    (void)unlink(WAITS);
}

static void set_mode(const char *file, const char *content, const char *name)
{
    (void)unlink(HANG);
    (void)unlink(DELAY);
    (void)unlink(FAIL);
    if (file != NULL) {
        int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        if (fd >= 0) {
            (void)!write(fd, content, strlen(content));
            close(fd);
        }
    }
    snprintf(mode, sizeof(mode), "%s", name);
}

static void pause_or_continue(int pause_it)
{
    if (agent != 0)
        kill(agent, pause_it ? SIGSTOP : SIGCONT);
    paused = agent != 0 && pause_it;
}

void agent_init(const char *device_or_null)
{
    device = device_or_null;
    start();
}

void agent_command(const char *command, char *answer, size_t size)
{
    if (agent != 0 && waitpid(agent, NULL, WNOHANG) == agent)
        agent = 0;
    if (strcmp(command, "start") == 0) {
        start();
    } else if (strcmp(command, "stop") == 0) {
        stop();
    } else if (strcmp(command, "pause") == 0) {
        pause_or_continue(1);
    } else if (strcmp(command, "normal") == 0) {
        set_mode(NULL, NULL, "normal");
        pause_or_continue(0);
        start();
    } else if (strcmp(command, "hang-freeze") == 0) {
        set_mode(HANG, "", command);
    } else if (strncmp(command, "delay-freeze ", 13) == 0) {
        set_mode(DELAY, command + 13, command);
    } else if (strcmp(command, "fail-freeze") == 0) {
        set_mode(FAIL, "", command);
    } else if (strcmp(command, "status") != 0) {
        snprintf(answer, size, "error unknown agent command");
        return;
    }
    snprintf(answer, size, "%s %s%s",
             device == NULL ? "absent"
             : agent == 0   ? "stopped"
             : paused       ? "paused"
                            : "running",
             mode, access(WAITS, F_OK) == 0 ? ", a freeze waits" : "");
}
