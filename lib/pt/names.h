/* SPDX-License-Identifier: MIT */
/*
 * lib/pt and lib/ops are compiled once per format (-DPF_FMT=<id>). Their functions keep one name in
 * the sources; here each gets its format into its symbol, so that many formats live in one binary.
 */
#ifndef PF_PT_NAMES_H
#define PF_PT_NAMES_H

#include "base/types.h"

#ifndef PF_FMT
#error "compile with -DPF_FMT=<format id>"
#endif

#define PF_FN(name) PF_CAT4(pf_, PF_FMT, _, name)

/* lib/pt */
#define pf_pte_alloc                  PF_FN(pte_alloc)
#define pf_pte_alloc_kept             PF_FN(pte_alloc_kept)
#define pf_pte_offset_map_lock        PF_FN(pte_offset_map_lock)
#define pf_pte_offset_map_lock_nested PF_FN(pte_offset_map_lock_nested)
#define pf_pte_unmap_unlock           PF_FN(pte_unmap_unlock)
#define pf_pte_hole                   PF_FN(pte_hole)
#define pf_pt_has_table               PF_FN(pt_has_table)
#define pf_free_pgtables              PF_FN(free_pgtables)
#define pf_reclaim_pgtables           PF_FN(reclaim_pgtables)
#define pf_ptep_get                   PF_FN(ptep_get)
#define pf_pte_batch                  PF_FN(pte_batch)
#define pf_pte_offset_map             PF_FN(pte_offset_map)
#define pf_pte_unmap                  PF_FN(pte_unmap)
#define pf_pte_view_linked            PF_FN(pte_view_linked)
#define pf_ptep_get_lockless          PF_FN(ptep_get_lockless)
#define pf_pte_batch_lockless         PF_FN(pte_batch_lockless)
#define pf_query_lockless             PF_FN(query_lockless)
#define pf_set_ptes                   PF_FN(set_ptes)
#define pf_set_pte_at                 PF_FN(set_pte_at)
#define pf_pte_clear_at               PF_FN(pte_clear_at)
#define pf_clear_ptes                 PF_FN(clear_ptes)
#define pf_get_and_clear_ptes         PF_FN(get_and_clear_ptes)
#define pf_move_ptes                  PF_FN(move_ptes)
#define pf_move_run                   PF_FN(move_run)
#define pf_move_may_fold              PF_FN(move_may_fold)
#define pf_ptep_get_and_clear         PF_FN(ptep_get_and_clear)
#define pf_ptep_clear_flush           PF_FN(ptep_clear_flush)
#define pf_clear_not_present_ptes     PF_FN(clear_not_present_ptes)
#define pf_wrprotect_ptes             PF_FN(wrprotect_ptes)
#define pf_ptep_set_wrprotect         PF_FN(ptep_set_wrprotect)
#define pf_test_and_clear_young_ptes  PF_FN(test_and_clear_young_ptes)
#define pf_ptep_test_and_clear_young  PF_FN(ptep_test_and_clear_young)
#define pf_clear_flush_young_ptes     PF_FN(clear_flush_young_ptes)
#define pf_ptep_clear_flush_young     PF_FN(ptep_clear_flush_young)
#define pf_clear_young_dirty_ptes     PF_FN(clear_young_dirty_ptes)
#define pf_ptep_set_access_flags      PF_FN(ptep_set_access_flags)
#define pf_modify_ptes                PF_FN(modify_ptes)
#define pf_flush_tlb_range            PF_FN(flush_tlb_range)
#define pf_ptes_folded                PF_FN(ptes_folded)
#define pf_contpte_convert            PF_FN(contpte_convert)
#define pf_may_fold                   PF_FN(may_fold)
#define pf_contpte_try_fold_ends      PF_FN(contpte_try_fold_ends)
#define pf_contpte_quiet              PF_FN(contpte_quiet)
#define pf_contpte_try_fold           PF_FN(contpte_try_fold)
#define pf_only_write_differs         PF_FN(only_write_differs)
#define pf_retypes                    PF_FN(retypes)
#define pf_slot_clear_young           PF_FN(slot_clear_young)
#define pf_leaves_modify              PF_FN(leaves_modify)
#define pf_pt_alloc_path              PF_FN(pt_alloc_path)
#define pf_pt_format_this             PF_CAT2(pf_pt_format_, PF_FMT)

#endif
