/* A requester that does nothing but answer, linked in the place of the real one: the command line
 * is tested without a hypervisor. What it was asked for is in the answer. */
#ifndef TESTS_FAKE_REQUESTER_H
#define TESTS_FAKE_REQUESTER_H

#include "requester/requester.h"

struct fake_requester {
    const char *answer; /* JSON; NULL = the object {"asked": ...} */
    struct error error; /* the call fails with it */
    const char *vms;    /* what requester_select() finds, as JSON; NULL = what is selected */
    const char *plan;   /* answer of requester_plan_restore() */
    bool tells;         /* reports records, progress and a notice */
    bool waits;         /* until it is interrupted */
    int busy;           /* so many times requester_backup() says first that another run holds it */
};
extern struct fake_requester fake_requester;

#endif
