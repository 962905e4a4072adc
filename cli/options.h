/* SPDX-License-Identifier: MIT */
/* What commands share on their way in. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

/* "--name=VALUE" or "--name VALUE": the value, or NULL. *i moves on. */
const char *option_value(char **argv, int argc, int *i, const char *name);

/*
 * The judge has the same name as this executable, with -judge after it, and stands beside it: it goes on with these
 * arguments. argv[0] is the command's name, NULL comes last. Returns an exit status if that fails.
 */
int exec_judge(char **argv);

#endif
