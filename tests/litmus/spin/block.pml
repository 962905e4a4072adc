/* SPDX-License-Identifier: MIT */
/*
 * A contiguous block is unfolded and folded again under its table's lock, while a CPU stores to its pages, its hardware marks the block dirty in any
 * member, and a reader without the lock reads slot 0 as pt/lockless.c does. Memory is sequentially consistent: what else may be is
 * for the litmus tests.
 *
 * Asserted: no TLB holds a block and a page of it; D is not lost; who begins to read after a store has been done, and gets an answer, gets D.
 */
#ifndef N
#define N 4
#endif
#define STORES   2
#define RESTARTS 4

#define V    1
#define CONT 2
#define D    4

byte slot[N];
/* The CPU's TLB: the block, or pages; whether what is cached says dirty, so that no entry is looked at again. */
bool tlb_block, tlb_page[N], tlb_block_dirty, tlb_page_dirty[N];
bool stored;		/* some store has been done */
bool stored_0;		/* through the block, or to page 0: slot 0 must tell */
bool moving;		/* D may be in `taken` only */

inline forget()
{
#ifdef NO_FLUSH
	skip
#else
	d_step {
		tlb_block = 0;
		tlb_block_dirty = 0;
		i = 0;
		do
		:: i < N -> tlb_page[i] = 0; tlb_page_dirty[i] = 0; i++
		:: else -> break
		od;
		i = 0
	}
#endif
}

/* One conversion: empty all, invalidate, write all with the new contiguity and what was taken. */
inline convert(bits)
{
	moving = 1;
	taken = 0;
	i = 0;
	do
	:: i < N ->
#ifdef NO_EXCHANGE
		was = slot[i];
		slot[i] = 0;
#else
		d_step { was = slot[i]; slot[i] = 0 }
#endif
		taken = taken | (was & D);
		i++
	:: else -> break
	od;
	forget();
#ifdef NOT_GATHERED
	taken = 0;
#endif
	i = 0;
	do
	:: i < N -> slot[i] = V | bits | taken; i++
	:: else -> break
	od;
	i = 0;
	d_step {
		moving = 0;
		any = 0;
		do
		:: i < N -> any = any | (slot[i] & D); i++
		:: else -> break
		od;
		assert(!stored || any)	/* D is lost */
	}
}

proctype converter()
{
	byte i, was, taken, any;

#ifdef ONE_SLOT
	slot[1] = slot[1] & ~CONT;
#endif
	convert(0);
	convert(CONT)
}

/* The CPU: translates page p, and stores. What faults is not done, and may be tried again. */
proctype cpu()
{
	byte n, p, q;

	do
	:: n < STORES ->
		n++;
		select(p : 0 .. N - 1);
		/* The walk: any member of a block speaks for all of it. Then the store, by what is cached. */
		atomic {
			if
			:: !tlb_block && !tlb_page[p] && (slot[p] & V) ->
				if
				:: slot[p] & CONT -> tlb_block = 1; tlb_block_dirty = (slot[p] & D) != 0
				:: else -> tlb_page[p] = 1; tlb_page_dirty[p] = (slot[p] & D) != 0
				fi
			/* What is cached may be forgotten and walked for again at any time, also beside what is left of it. */
			:: tlb_block && (slot[p] & V) && !(slot[p] & CONT) -> tlb_page[p] = 1; tlb_page_dirty[p] = (slot[p] & D) != 0
			:: tlb_page[p] && (slot[p] & CONT) -> tlb_block = 1; tlb_block_dirty = (slot[p] & D) != 0
			:: else
			fi;
			assert(!(tlb_block && tlb_page[p]))	/* a TLB conflict */
		}
		select(q : 0 .. N - 1);
		atomic {
			if
			:: tlb_block && tlb_block_dirty -> stored = 1; stored_0 = 1
			:: tlb_block && !tlb_block_dirty && (slot[q] & V) && (slot[q] & CONT) -> slot[q] = slot[q] | D; tlb_block_dirty = 1; stored = 1; stored_0 = 1
			:: tlb_page[p] && tlb_page_dirty[p] -> stored = 1; stored_0 = stored_0 || p == 0
			:: tlb_page[p] && !tlb_page_dirty[p] && (slot[p] & V) && !(slot[p] & CONT) -> slot[p] = slot[p] | D; tlb_page_dirty[p] = 1; stored = 1; stored_0 = stored_0 || p == 0
			:: else
			fi
		}
	:: else -> break
	od
}

proctype reader()
{
	byte i, tries, own, w, dirty;
	bool before;

	before = stored_0;
again:
	own = slot[0];
	dirty = own & D;
	if
	:: !(own & V) -> goto done
	:: (own & V) && !(own & CONT) -> skip
	:: else ->
		i = 1;
		do
		:: i < N && !dirty ->
			w = slot[i];
			if
			:: (w & V) && (w & CONT) -> dirty = dirty | (w & D)
			:: else ->
#ifndef SKIP
				tries++;
				if
				:: tries > RESTARTS -> goto done	/* and takes the lock */
				:: else -> goto again
				fi
#else
				skip
#endif
			fi;
			i++
		:: else -> break
		od
	fi;
	assert(!before || dirty);	/* clean, though it had been stored to */
done:
	skip
}

init {
	byte i;

	atomic {
		do
		:: i < N -> slot[i] = V | CONT; i++
		:: else -> break
		od;
		run converter();
		run cpu();
		run reader()
	}
}
