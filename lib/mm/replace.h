/* SPDX-License-Identifier: MIT */
/*
 * A page of private memory that is replaced by another one which somebody else has filled (Linux: uprobes, which put breakpoints into a
 * process's own copy of a page of a program).
 *
 * Who does it keeps the old page by pf_gup() (PF_FOLL_GET | PF_FOLL_FORCE), fills a folio of one page, which pf_folio_alloc() gave him and
 * nobody else knows, and has it put in the old one's place. What the process, or who has the page pinned, stores to the old page
 * meanwhile is lost: Linux does it where memory is not writable. Which memory that may be is the caller's to say.
 *
 * Both take the mmap lock for writing and, tried, the folio lock of the old page. The entry is emptied and flushed before it maps the new page, and
 * is not writable then; the rest of a folded block is unfolded with it, and other blocks stay. The page is the process's own: anonymous,
 * exclusive, dirty, found as any page of the VMA; the old one loses the mapping. uffd-wp and soft-dirty stay as they were. A child shares
 * it as all private pages.
 */
#ifndef PF_MM_REPLACE_H
#define PF_MM_REPLACE_H

#include "mm/mm.h"

/*
 * The page at va, which is in frame `old`, of which the caller has a reference, becomes `by`, whose reference is used up. Else nothing has
 * changed, and `by` is the caller's: -PF_EINVAL: there is no private memory, or `by` is no single page; -PF_EAGAIN: another
 * page is there, or none, or somebody is at work on it: to be looked at again; -PF_ENOMEM.
 */
int pf_replace_page(struct pf_mm *mm, pf_va_t va, pf_pfn_t old, struct pf_folio *by);
/*
 * The same, but where the mapping of the VMA has a page in memory that says what `by` says, that is what will be there again: the slot is empty,
 * and the next access finds it. Not where a userfaultfd would be told of that. If the page is the mapping's own already,
 * it stays. `by` is used up in any case of success.
 */
int pf_restore_page(struct pf_mm *mm, pf_va_t va, pf_pfn_t old, struct pf_folio *by);

#endif
