/* Help: the text of --help, drawn from the verb's tables, at most 80 columns wide. */
#ifndef CLI_HELP_H
#define CLI_HELP_H

#include "cli/verb.h"

#include <stdio.h>

void help_program(FILE *file);
void help_verb(const struct verb *verb, FILE *file);

#endif
