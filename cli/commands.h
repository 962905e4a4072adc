/* SPDX-License-Identifier: MIT */
/*
 * The commands of `pagefold`. argv[0] is the command's name. Each returns the exit status: 0 for
 * yes, 1 for no, 2 for input that is wrong.
 */
#ifndef PF_CLI_COMMANDS_H
#define PF_CLI_COMMANDS_H

int cmd_record(int argc, char **argv);
int cmd_trace(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_replay(int argc, char **argv);
int cmd_inspect(int argc, char **argv);
int cmd_report(int argc, char **argv);
int cmd_import(int argc, char **argv);
int cmd_diff(int argc, char **argv);
int cmd_fuzz(int argc, char **argv);

#endif
