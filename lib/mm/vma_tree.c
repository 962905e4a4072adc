/* SPDX-License-Identifier: MIT */
/*
 * The B+tree of VMAs.
 *
 * Who looks up without the mmap lock (pf_vma_tree_find_rcu) may be in a node that changes. What he reads there he uses only if the
 * tree's number has not changed since he began: then each node was what he took it for, and what he read of it belongs together.
 * Until he has looked at the number he follows no pointer. So a node may be changed in place, and be another part of the tree next, but its memory
 * stays for as long as he is an RCU reader. All that he may read is stored by atomics; who has the mmap lock reads plainly.
 *
 * A node has n entries in address order. An entry of a leaf is a VMA and its range; one of an inner
 * node is a child with the range from its first start to its last end, and the largest hole between
 * entries below it. Holes between two entries of one node are seen in the node itself, so a change
 * of one VMA's range concerns the nodes above it only, never a neighbour.
 *
 * Memory: an insertion splits at most one node a level and may add a root. `height` insertions'
 * worth of splits per insertion, and one root: a second new root would need the first one full.
 * Removal gives nodes back. Thus reserve, then act.
 */
#include "mm/vma.h"

#include "base/err.h"
#include "pt/rcu.h"

#define LEAF_MAX  20u
#define INNER_MAX 15u
/* Below a third a node is joined with a neighbour, or takes from it. */
#define LEAF_MIN  7u
#define INNER_MIN 5u
/* Every level of a tree but the root has at least 5 ways: 5^18 VMAs are more than memory holds. */
#define MAX_HEIGHT 20u

struct leaf {
	pf_va_t end[LEAF_MAX], start[LEAF_MAX];
	struct pf_vma *vma[LEAF_MAX];
};

struct inner {
	pf_va_t end[INNER_MAX], start[INNER_MAX];
	uint64_t gap[INNER_MAX];
	struct pf_vma_node *child[INNER_MAX];
};

struct pf_vma_node {
	/* Of one that is in no tree: no reader looks at these. */
	union {
		struct pf_rcu_head rcu;
		struct pf_vma_node *next; /* spare */
	};
	uint8_t nr;
	uint8_t level; /* 0: a leaf */
	union {
		struct leaf leaf;
		struct inner inner;
	};
};
PF_STATIC_ASSERT(sizeof(struct pf_vma_node) <= 512, "eight cache lines");

/* From the root to a leaf: which entry of each node. By level. */
struct path {
	struct pf_vma_node *node[MAX_HEIGHT];
	unsigned idx[MAX_HEIGHT];
};

static const pf_va_t *ends(const struct pf_vma_node *n)
{
	return n->level ? n->inner.end : n->leaf.end;
}

static const pf_va_t *starts(const struct pf_vma_node *n)
{
	return n->level ? n->inner.start : n->leaf.start;
}

static unsigned node_max(const struct pf_vma_node *n)
{
	return n->level ? INNER_MAX : LEAF_MAX;
}

static unsigned node_min(const struct pf_vma_node *n)
{
	return n->level ? INNER_MIN : LEAF_MIN;
}

/* First entry that ends above va; nr if there is none. */
static unsigned first_above(const struct pf_vma_node *n, pf_va_t va)
{
	const pf_va_t *end = ends(n);
	unsigned i = 0;

	while (i < n->nr && end[i] <= va)
		i++;
	return i;
}

/* ---- changes ---- */

/*
 * Around all changes of what readers without the lock may read. Release behind the first store: who reads any of the changes (acquire, in
 * pf_vma_tree_find_rcu) reads the odd number, or a later one, at his next look.
 */
static void change_begin(struct pf_vma_tree *t)
{
	pf_store_relaxed(&t->seq, t->seq + 1);
	pf_wmb();
}

static void change_end(struct pf_vma_tree *t)
{
	pf_store_release(&t->seq, t->seq + 1);
}

static void set_nr(struct pf_vma_node *n, unsigned nr)
{
	pf_quiet_store(&n->nr, (uint8_t)nr);
}

static void set_root(struct pf_vma_tree *t, struct pf_vma_node *root)
{
	pf_quiet_store_release(&t->root, root);
}

/* ---- entries ---- */

static void move_entry(
	struct pf_vma_node *dst, unsigned to, const struct pf_vma_node *src, unsigned from)
{
	if (src->level) {
		pf_quiet_store(&dst->inner.end[to], src->inner.end[from]);
		pf_quiet_store(&dst->inner.start[to], src->inner.start[from]);
		dst->inner.gap[to] = src->inner.gap[from];
		/* Release: whoever finds the pointer here finds what it points to as it was made. */
		pf_quiet_store_release(&dst->inner.child[to], src->inner.child[from]);
	} else {
		pf_quiet_store(&dst->leaf.end[to], src->leaf.end[from]);
		pf_quiet_store(&dst->leaf.start[to], src->leaf.start[from]);
		pf_quiet_store_release(&dst->leaf.vma[to], src->leaf.vma[from]);
	}
}

/* Entries [from, from + nr) of src to slot `to` of dst: nodes of one level, or one node. */
static void move_entries(struct pf_vma_node *dst, unsigned to, const struct pf_vma_node *src,
	unsigned from, unsigned nr)
{
	if (dst == src && to > from)
		while (nr--)
			move_entry(dst, to + nr, src, from + nr);
	else
		for (unsigned i = 0; i < nr; i++)
			move_entry(dst, to + i, src, from + i);
}

static uint64_t largest_hole(const struct pf_vma_node *n)
{
	const pf_va_t *start = starts(n), *end = ends(n);
	uint64_t hole = 0;

	for (unsigned i = 1; i < n->nr; i++)
		hole = pf_max(hole, start[i] - end[i - 1]);
	for (unsigned i = 0; n->level && i < n->nr; i++)
		hole = pf_max(hole, n->inner.gap[i]);
	return hole;
}

/* What the parent knows of its child i, from the child. */
static void summarize(struct pf_vma_node *parent, unsigned i)
{
	const struct pf_vma_node *c = parent->inner.child[i];

	pf_quiet_store(&parent->inner.start[i], starts(c)[0]);
	pf_quiet_store(&parent->inner.end[i], ends(c)[c->nr - 1]);
	parent->inner.gap[i] = largest_hole(c);
}

static void summarize_up(const struct pf_vma_tree *t, const struct path *p, unsigned level)
{
	while (++level < t->height)
		summarize(p->node[level], p->idx[level]);
}

/* ---- nodes ---- */

static struct pf_vma_node *take_spare(struct pf_vma_tree *t, unsigned level)
{
	struct pf_vma_node *n = t->spare;

	t->spare = n->next;
	t->spares--;
	set_nr(n, 0);
	pf_quiet_store(&n->level, (uint8_t)level);
	return n;
}

static void put_spare(struct pf_vma_tree *t, struct pf_vma_node *n)
{
	n->next = t->spare;
	t->spare = n;
	t->spares++;
}

static void trim_spares(struct pf_vma_tree *t, uint64_t keep)
{
	while (t->spares > keep) {
		struct pf_vma_node *n = t->spare;

		t->spare = n->next;
		t->spares--;
		pf_meta_free_rcu(n, sizeof(*n));
	}
}

void pf_vma_tree_unreserve(struct pf_vma_tree *t)
{
	/* What most calls reserve: they then allocate no node. */
	trim_spares(t, 3 * t->height + 1);
}

void pf_vma_tree_init(struct pf_vma_tree *t)
{
	*t = (struct pf_vma_tree){.root = NULL};
}

int pf_vma_tree_reserve(struct pf_vma_tree *t, uint64_t inserts)
{
	while (t->spares < inserts * t->height + 1) {
		struct pf_vma_node *n = pf_port_meta_alloc(sizeof(*n));

		if (!n)
			return -PF_ENOMEM;
		put_spare(t, n);
	}
	return 0;
}

void pf_vma_tree_destroy(struct pf_vma_tree *t)
{
	struct path p;
	unsigned level = t->height;

	/* Children before their parents: idx is the next child to visit. */
	if (t->root) {
		p.node[--level] = t->root;
		p.idx[level] = 0;
		while (level < t->height) {
			struct pf_vma_node *n = p.node[level];

			if (level && p.idx[level] < n->nr) {
				p.node[level - 1] = n->inner.child[p.idx[level]++];
				p.idx[--level] = 0;
			} else {
				pf_port_meta_free(n, sizeof(*n));
				level++;
			}
		}
	}
	trim_spares(t, 0);
	pf_vma_tree_init(t);
}

/* ---- finding ---- */

struct pf_vma *pf_vma_tree_find(const struct pf_vma_tree *t, pf_va_t va)
{
	const struct pf_vma_node *n = t->root;

	while (n) {
		unsigned i = first_above(n, va);

		/* Only the root's last entry can fail to end above va: a parent's end is its
		 * child's. */
		if (i == n->nr)
			return NULL;
		if (!n->level)
			return n->leaf.vma[i];
		n = n->inner.child[i];
	}
	return NULL;
}

struct pf_vma *pf_vma_tree_find_below(const struct pf_vma_tree *t, pf_va_t va)
{
	const struct pf_vma_node *n = t->root;

	while (n) {
		const pf_va_t *start = starts(n);
		unsigned i = n->nr;

		while (i && start[i - 1] >= va)
			i--;
		if (!i)
			return NULL;
		if (!n->level)
			return n->leaf.vma[i - 1];
		n = n->inner.child[i - 1];
	}
	return NULL;
}

struct pf_vma *pf_vma_tree_find_rcu(const struct pf_vma_tree *t, pf_va_t va)
{
	const uint32_t seq = pf_load_acquire(&t->seq);
	const struct pf_vma_node *n = pf_quiet_load_acquire(&t->root);
	struct pf_vma *vma = NULL;
	bool leaf;

	if (seq & 1)
		return NULL;
	/* A node that is another by now may say anything: nothing outside of it is read by that. */
	do {
		const pf_va_t *end;
		unsigned nr, i = 0;

		if (!n)
			return NULL;
		leaf = !pf_quiet_load(&n->level);
		end = leaf ? n->leaf.end : n->inner.end;
		nr = (unsigned)pf_min(pf_quiet_load(&n->nr), leaf ? LEAF_MAX : INNER_MAX);
		while (i < nr && pf_quiet_load(&end[i]) <= va)
			i++;
		if (i == nr)
			return NULL;
		if (leaf)
			vma = pf_load_acquire(&n->leaf.vma[i]);
		else
			n = pf_load_acquire(&n->inner.child[i]);
		/* Acquire: what was read before it was read before the number is. */
		pf_rmb();
		if (pf_load_relaxed(&t->seq) != seq && !PF_MUTANT("vma-tree-unchecked"))
			return NULL;
	} while (!leaf);
	return vma;
}

/*
 * The path to where a VMA that starts at va is, or belongs: to the leaf entry that ends above va,
 * or behind the last leaf's last entry.
 */
static void descend(const struct pf_vma_tree *t, pf_va_t va, struct path *p)
{
	struct pf_vma_node *n = t->root;

	for (unsigned level = t->height; level--;) {
		unsigned i = first_above(n, va);

		if (level && i == n->nr)
			i--;
		p->node[level] = n;
		p->idx[level] = i;
		if (level)
			n = n->inner.child[i];
	}
}

/* ---- insertion ---- */

/* Split a full node; its upper half becomes entry idx + 1 of the parent, which has room. */
static void split_node(struct pf_vma_tree *t, struct pf_vma_node *parent, unsigned idx)
{
	struct pf_vma_node *n = parent->inner.child[idx];
	struct pf_vma_node *upper = take_spare(t, n->level);
	unsigned keep = n->nr / 2;

	move_entries(upper, 0, n, keep, n->nr - keep);
	set_nr(upper, n->nr - keep);
	set_nr(n, keep);
	move_entries(parent, idx + 2, parent, idx + 1, parent->nr - (idx + 1));
	pf_quiet_store_release(&parent->inner.child[idx + 1], upper);
	set_nr(parent, parent->nr + 1u);
	summarize(parent, idx);
	summarize(parent, idx + 1);
}

void pf_vma_tree_insert(struct pf_vma_tree *t, struct pf_vma *vma)
{
	pf_va_t va = vma->area.start;
	struct path p;
	struct pf_vma_node *leaf;
	unsigned i;

	change_begin(t);
	if (!t->root) {
		set_root(t, take_spare(t, 0));
		t->height = 1;
	}
	descend(t, va, &p);
	/* A full leaf: the highest of the full nodes above it is split first, so that the next has
	 * a parent with room. One descent a split: splits are rare, and the path is then right
	 * again. */
	while (p.node[0]->nr == LEAF_MAX) {
		unsigned top = 0;

		while (top + 1 < t->height && p.node[top + 1]->nr == INNER_MAX)
			top++;
		if (top + 1 == t->height) {
			struct pf_vma_node *root = take_spare(t, t->height);

			set_nr(root, 1);
			pf_quiet_store_release(&root->inner.child[0], t->root);
			summarize(root, 0);
			set_root(t, root);
			t->height++;
			p.node[top + 1] = root;
			p.idx[top + 1] = 0;
		}
		split_node(t, p.node[top + 1], p.idx[top + 1]);
		descend(t, va, &p);
	}
	leaf = p.node[0];
	i = p.idx[0];
	move_entries(leaf, i + 1, leaf, i, leaf->nr - i);
	pf_quiet_store(&leaf->leaf.start[i], va);
	pf_quiet_store(&leaf->leaf.end[i], vma->area.end);
	pf_quiet_store_release(&leaf->leaf.vma[i], vma);
	set_nr(leaf, leaf->nr + 1u);
	summarize_up(t, &p, 0);
	change_end(t);
}

/* ---- removal ---- */

/* Take entry i out of a node. */
static void remove_entry(struct pf_vma_node *n, unsigned i)
{
	move_entries(n, i, n, i + 1, n->nr - (i + 1));
	set_nr(n, n->nr - 1u);
}

/* Child idx of the parent has too few entries: join it with a neighbour, or even the two out. */
static void refill(struct pf_vma_tree *t, struct pf_vma_node *parent, unsigned idx)
{
	unsigned l = idx ? idx - 1 : 0;
	struct pf_vma_node *left = parent->inner.child[l], *right = parent->inner.child[l + 1];
	unsigned sum = left->nr + right->nr, half = sum / 2;

	if (sum <= node_max(left)) {
		move_entries(left, left->nr, right, 0, right->nr);
		set_nr(left, sum);
		remove_entry(parent, l + 1);
		put_spare(t, right);
		summarize(parent, l);
		return;
	}
	if (left->nr < half) {
		unsigned n = half - left->nr;

		move_entries(left, left->nr, right, 0, n);
		move_entries(right, 0, right, n, right->nr - n);
	} else {
		unsigned n = left->nr - half;

		move_entries(right, n, right, 0, right->nr);
		move_entries(right, 0, left, half, n);
	}
	set_nr(left, half);
	set_nr(right, sum - half);
	summarize(parent, l);
	summarize(parent, l + 1);
}

void pf_vma_tree_remove(struct pf_vma_tree *t, struct pf_vma *vma)
{
	struct path p;
	unsigned level;

	change_begin(t);
	descend(t, vma->area.start, &p);
	remove_entry(p.node[0], p.idx[0]);
	for (level = 0; level + 1 < t->height; level++) {
		if (p.node[level]->nr >= node_min(p.node[level])) {
			summarize_up(t, &p, level);
			break;
		}
		/* Only a root may have one child alone, and that is undone below. */
		refill(t, p.node[level + 1], p.idx[level + 1]);
	}
	while (t->height > 1 && t->root->nr == 1) {
		struct pf_vma_node *old = t->root;

		set_root(t, old->inner.child[0]);
		t->height--;
		put_spare(t, old);
	}
	if (!t->root->nr) {
		put_spare(t, t->root);
		set_root(t, NULL);
		t->height = 0;
	}
	change_end(t);
}

void pf_vma_tree_set_range(struct pf_vma_tree *t, struct pf_vma *vma, pf_va_t start, pf_va_t end)
{
	struct path p;

	change_begin(t);
	descend(t, vma->area.start, &p);
	pf_quiet_store(&p.node[0]->leaf.start[p.idx[0]], start);
	pf_quiet_store(&p.node[0]->leaf.end[p.idx[0]], end);
	vma->area.start = start;
	vma->area.end = end;
	summarize_up(t, &p, 0);
	change_end(t);
}

/* ---- holes ---- */

/* Clip a hole; does it fit? */
static bool fits(
	pf_va_t from, pf_va_t to, pf_va_t low, pf_va_t high, uint64_t len, bool down, pf_va_t *va)
{
	from = pf_max(from, low);
	to = pf_min(to, high);
	if (to < from || to - from < len)
		return false;
	*va = down ? to - len : from;
	return true;
}

/*
 * A walk over the entries in one direction, that skips what lies outside [low, high) and every
 * child without a hole large enough. Of such children it enters in vain at most those that low or
 * high cuts: one a level each.
 *
 * Position 2i of a node is the hole before entry i, 2i + 1 is what lies inside entry i.
 */
static bool gap_inside(const struct pf_vma_tree *t, pf_va_t low, pf_va_t high, uint64_t len,
	bool down, pf_va_t *va)
{
	struct path p;
	unsigned level = t->height - 1;

	p.node[level] = t->root;
	p.idx[level] = down ? 2u * t->root->nr : 0;
	while (level < t->height) {
		const struct pf_vma_node *n = p.node[level];
		const pf_va_t *start = starts(n), *end = ends(n);
		unsigned pos, i;

		if (p.idx[level] == (down ? 0 : 2u * n->nr)) {
			level++;
			continue;
		}
		pos = down ? --p.idx[level] : p.idx[level]++;
		i = pos / 2;
		if (!(pos & 1)) {
			if (i && fits(end[i - 1], start[i], low, high, len, down, va))
				return true;
		} else if (n->level && n->inner.gap[i] >= len && start[i] < high && end[i] > low) {
			p.node[--level] = n->inner.child[i];
			p.idx[level] = down ? 2u * p.node[level]->nr : 0;
		}
	}
	return false;
}

static bool gap(const struct pf_vma_tree *t, pf_va_t low, pf_va_t high, uint64_t len, bool down,
	pf_va_t *va)
{
	pf_va_t first, last;

	if (!t->root)
		return fits(low, high, low, high, len, down, va);
	first = starts(t->root)[0];
	last = ends(t->root)[t->root->nr - 1];
	if (down)
		return fits(last, high, low, high, len, down, va) ||
		       gap_inside(t, low, high, len, down, va) ||
		       fits(low, first, low, high, len, down, va);
	return fits(low, first, low, high, len, down, va) ||
	       gap_inside(t, low, high, len, down, va) ||
	       fits(last, high, low, high, len, down, va);
}

bool pf_vma_tree_gap_down(
	const struct pf_vma_tree *t, pf_va_t low, pf_va_t high, uint64_t len, pf_va_t *va)
{
	return gap(t, low, high, len, true, va);
}

bool pf_vma_tree_gap_up(
	const struct pf_vma_tree *t, pf_va_t low, pf_va_t high, uint64_t len, pf_va_t *va)
{
	return gap(t, low, high, len, false, va);
}

/* ---- checking ---- */

static const char *check_node(
	const struct pf_vma_tree *t, const struct pf_vma_node *n, unsigned level, pf_va_t *at)
{
	const pf_va_t *start = starts(n), *end = ends(n);

	if (n->level != level)
		return "a node is at another level than it says";
	if (n->nr > node_max(n) || (n != t->root && n->nr < node_min(n)))
		return "a node has too many or too few entries";
	for (unsigned i = 0; i < n->nr; i++) {
		if (start[i] >= end[i])
			return "an entry's range is empty";
		if (!level) {
			const struct pf_vma *v = n->leaf.vma[i];

			if (start[i] < *at)
				return "VMAs overlap, or are out of order";
			if (v->area.start != start[i] || v->area.end != end[i])
				return "a leaf's range is not its VMA's";
			*at = end[i];
		} else {
			const struct pf_vma_node *c = n->inner.child[i];

			if (start[i] != starts(c)[0] || end[i] != ends(c)[c->nr - 1])
				return "a parent's range is not its child's";
			if (n->inner.gap[i] != largest_hole(c))
				return "a parent's hole is not its child's";
		}
	}
	return NULL;
}

const char *pf_vma_tree_check(const struct pf_vma_tree *t)
{
	struct path p;
	pf_va_t at = 0;
	unsigned level = t->height;

	if (!t->root)
		return t->height ? "an empty tree has a height" : NULL;
	if (!level || level > MAX_HEIGHT)
		return "height";
	p.node[--level] = t->root;
	p.idx[level] = 0;
	while (level < t->height) {
		struct pf_vma_node *n = p.node[level];
		const char *bad = p.idx[level] ? NULL : check_node(t, n, level, &at);

		if (bad)
			return bad;
		if (level && p.idx[level] < n->nr) {
			p.node[level - 1] = n->inner.child[p.idx[level]++];
			p.idx[--level] = 0;
		} else {
			level++;
		}
	}
	return NULL;
}
