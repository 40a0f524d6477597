/* The program: `vmshadow`, apart from main() so that tests can run it within themselves. */
#ifndef CLI_PROGRAM_H
#define CLI_PROGRAM_H

/* Runs one command line and returns the exit code. */
int program_main(int argc, char *const argv[]);

#endif
