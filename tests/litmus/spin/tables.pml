/* SPDX-License-Identifier: MIT */
/*
 * A leaf table is emptied, unlinked, waited for and given away, while one walker looks in it without the lock, one takes its lock to fill a slot, and a CPU
 * walks through a walk cache. Memory is sequentially consistent.
 *
 * Asserted: nobody touches the table when it is another's, and nothing is filled in that nobody can reach.
 */
#define OLD 1		/* the table */

byte upper = OLD;	/* what the upper entry links */
byte live = 0;		/* filled slots of the table */
bool dead = 0;		/* PF_TABLE_DEAD */
bool away = 0;		/* given to somebody else */
bool lock = 0;
byte sections = 0;	/* read sections that are open, one bit each */
bool cached = 0;	/* the CPU's walk cache leads to the table */

inline take() { atomic { !lock -> lock = 1 } }
inline give() { lock = 0 }

#ifdef NO_SECTION
#define enter(me) skip
#define leave(me) skip
#else
#define enter(me) sections = sections | (1 << me)
#define leave(me) sections = sections & ~(1 << me)
#endif

proctype unlinker()
{
	byte waited;
	bool unlinked;

	take();
	if
#ifndef NO_EMPTY_CHECK
	:: live -> skip
	:: else ->
#else
	:: true ->
#endif
		assert(!live);	/* what is filled would be lost */
		dead = 1;
		upper = 0;
		unlinked = 1
	fi;
	give();
	if
	:: unlinked ->
#ifndef NO_FLUSH
		cached = 0;
#endif
#ifndef NO_WAIT
		/* Those that are open now. */
		waited = sections;
		do
		:: waited -> waited = waited & sections
		:: else -> break
		od;
#endif
		away = 1
	:: else
	fi
}

proctype looker()
{
	byte found;

	enter(0);
	found = upper;
	if
	:: found -> assert(!away)	/* it is read */
	:: else
	fi;
	leave(0)
}

proctype filler()
{
	byte found;

	enter(1);
	found = upper;
	if
	:: found ->
		assert(!away);	/* its lock is touched */
		take();
		if
#ifndef NO_DEAD_CHECK
		:: dead -> skip	/* and starts again */
		:: else ->
#else
		:: true ->
#endif
			assert(!away && upper == OLD);	/* filled where nobody looks */
			live = 1
		fi;
		give()
	:: else
	fi;
	leave(1)
}

proctype cpu()
{
	byte n;

	do
	:: n < 2 ->
		n++;
		atomic {
			if
			:: cached -> assert(!away)	/* walked through */
			:: !cached && upper -> cached = 1
			:: else
			fi
		}
	:: else -> break
	od
}

init {
	atomic {
		run unlinker();
		run looker();
		run filler();
		run cpu()
	}
}
