/* Log: lines for the administrator, to standard error.
 *
 * Only the program's top (cli, the watchdog's main loop) and the requester's workflows log; library
 * rooms return errors. Nothing is logged between freeze and thaw: log_hold() collects lines in
 * memory (bounded; what is too much is counted) and log_release() writes them, because
 * standard error may lead to a disk of a frozen guest. Safe from any thread.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_NOTICE, LOG_LEVEL_DEBUG };

/* Lines above this level are not written. Default: LOG_LEVEL_NOTICE. */
void log_set_level(enum log_level level);
/* The name before each line ("vmshadow", "vmshadow watchdog"). The string must stay. */
void log_set_program(const char *name);
/* From now on lines go to the system's log (syslog, the journal) instead: for a process that
 * outlives the one whose standard error it has. */
void log_to_system(void);

void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_notice(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

void log_hold(void);
void log_release(void);

#endif
