/* SPDX-License-Identifier: MIT */
/*
 * Error numbers, with Linux's values, returned negated (-PF_ENOMEM). The library has its own names
 * because a freestanding embedder has no errno.h.
 */
#ifndef PF_BASE_ERR_H
#define PF_BASE_ERR_H

#define PF_EPERM      1
#define PF_ENOENT     2
#define PF_ESRCH      3
#define PF_EINTR      4
#define PF_EIO        5
#define PF_ENXIO      6
#define PF_EBADF      9
#define PF_EAGAIN     11
#define PF_ENOMEM     12
#define PF_EACCES     13
#define PF_EFAULT     14
#define PF_EBUSY      16
#define PF_EEXIST     17
#define PF_ENODEV     19
#define PF_EINVAL     22
#define PF_ENOSPC     28
#define PF_ENOSYS     38
#define PF_EOVERFLOW  75
#define PF_EOPNOTSUPP 95

#define PF_EHWPOISON 133

#endif
