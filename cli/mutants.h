/* SPDX-License-Identifier: MIT */
/*
 * The deliberate bugs of the judging library: names of PF_MUTANT() in lib/, chosen by PF_MUTANT in the
 * environment, and what each breaks. `pagefold-judge --list-mutants` prints them for scripts/mutants.
 */
#ifndef CLI_MUTANTS_H
#define CLI_MUTANTS_H

struct mutant {
	const char *name;
	const char *bugs;  /* numbers of docs/MUTANTS.md, with spaces between */
	const char *where; /* file, function */
	const char *what;
};

/* Ends with a name of NULL. */
extern const struct mutant mutants[];

#endif
